"""What each noun's operations are described with."""

from dataclasses import dataclass, field
from typing import Any

from api.refusals import Refusal


@dataclass(frozen=True)
class Operation:
    """`request` is an example of the body, `answers` one for each status of success."""

    request: Any = None
    answers: dict[int, Any] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()


NOTHING = Operation()


def success(data: Any, **meta: Any) -> dict[str, Any]:
    return {"success": True, "data": data, **({"meta": meta} if meta else {})}


REFUND_ID = "0d4a2f3e-8a53-4f0c-9f5e-1f5f5d6c7b8a"
ADMIN_ID = "5b0c7d1e-93f4-4c1a-8a55-3b7e0f6d2c41"
JOB_ID = "9c1f6a57-2d0e-4b7b-8f3a-6e5d4c3b2a10"
