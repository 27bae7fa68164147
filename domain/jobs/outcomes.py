"""What a piece of work answers when it stops; the runner writes it down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.orm import Session


@dataclass(frozen=True)
class ResultFile:
    """A file in storage that people download: its name there, the name a browser saves it under, its media type."""

    stored: str
    name: str
    type: str

    def columns(self) -> dict[str, object]:
        return {"result_file": self.stored, "result_name": self.name, "result_type": self.type}


@dataclass(frozen=True)
class Done:
    """`then` is called in the transaction that writes it, so only where the job was still the worker's own."""

    result: dict[str, object] = field(default_factory=dict)
    file: ResultFile | None = None
    then: Callable[[Session], None] | None = None


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
