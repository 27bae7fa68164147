"""What a piece of work answers when it stops; the runner writes it down."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Done:
    result: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Again:
    """Not finished, nothing wrong: run it again after so many seconds."""

    after: float
    message: str = ""


@dataclass(frozen=True)
class Failed:
    """Failed for good; a person may retry it."""

    code: str
    message: str


Outcome = Done | Again | Failed
