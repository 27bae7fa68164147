"""The house's rules about money, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

APPROVAL_LASTS = timedelta(hours=72)
"""How long a first approval waits for the second."""


@dataclass(frozen=True)
class RefundPolicy:
    """`dual_limits`: minor units per currency above which two admins must approve."""

    dual_limits: Mapping[str, int]
    default_currency: str = "INR"

    def needs_two(self, currency: str, total_cents: int) -> bool:
        """Whether refunds of one payment that come to this total need two approvals; a currency without a limit always does."""
        limit = self.dual_limits.get(currency)
        return limit is None or total_cents > limit

    def limit(self, currency: str) -> int | None:
        return self.dual_limits.get(currency)
