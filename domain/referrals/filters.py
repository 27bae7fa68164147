"""What a list of referrals is narrowed to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select

from domain.marketplace.models import Referral, User
from domain.pagination import PageRequest
from domain.referrals.risks import has_risk


@dataclass(frozen=True)
class ReferralFilters(PageRequest):
    """`from_` and `to` bound `created_at`: from included, to excluded. `status` holds values of ReferralState."""

    status: tuple[str, ...] = ()
    referrer_id: UUID | None = None
    referred_id: UUID | None = None
    from_: datetime | None = None
    to: datetime | None = None
    min_amount: int | None = None
    currency: str | None = None
    payout_status: tuple[str, ...] = ()
    risk: tuple[str, ...] = ()
    q: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Every filter but `status`: what the summary counts over."""
        found: list[ColumnElement[bool]] = []
        if self.referrer_id is not None:
            found.append(Referral.referrer_id == self.referrer_id)
        if self.referred_id is not None:
            found.append(Referral.referred_user_id == self.referred_id)
        if self.from_ is not None:
            found.append(Referral.created_at >= self.from_)
        if self.to is not None:
            found.append(Referral.created_at < self.to)
        if self.min_amount is not None:
            found.append(Referral.reward_amount_cents >= self.min_amount)
        if self.currency is not None:
            found.append(Referral.currency == self.currency)
        if self.payout_status:
            found.append(Referral.payout_status.in_(self.payout_status))
        if self.risk:
            found.append(has_risk(self.risk))
        if self.q:
            people = select(User.id).where(or_(User.name.icontains(self.q, autoescape=True), User.email.icontains(self.q, autoescape=True)))
            found.append(
                or_(
                    Referral.referral_code.icontains(self.q, autoescape=True),
                    Referral.referrer_id.in_(people),
                    Referral.referred_user_id.in_(people),
                )
            )
        return found

    def narrowing(self) -> dict[str, str]:
        """The same as text: what a summary under these filters is kept under."""
        left_out = {"status", "page", "page_size", "cursor"}
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out}
        return {name: as_text(value) for name, value in values.items() if value not in (None, "", ())}


def as_text(value: object) -> str:
    return ",".join(sorted(map(str, value))) if isinstance(value, tuple) else str(value)
