from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session, aliased

from domain.db import now
from domain.exports.cells import Row, major, masked
from domain.exports.request import ExportRequest
from domain.marketplace.models import Referral, User
from domain.referrals.states import is_in, standing_of

Referrer, Referred = aliased(User), aliased(User)


class Referrals:
    """By when they were made, narrowed as the list is. One still pending past its time is expired, whether or not its row says so yet."""

    header = tuple(
        """referral_id referral_code status payout_status reward_minor reward currency created_at expires_at credited_at
        signup email_verified first_booking minimum_spend
        referrer_id referrer_name referrer_email referred_user_id referred_user_name referred_user_email""".split()
    )

    def keys(self, request: ExportRequest) -> Select[UUID]:
        return select(Referral.id).where(*narrowed(request, now())).order_by(Referral.created_at.desc(), Referral.id.desc())

    def rows(self, session: Session, request: ExportRequest, ids: Sequence[UUID], emails: bool) -> dict[UUID, Row]:
        moment = now()
        found = session.execute(
            select(Referral, Referrer.name, Referrer.email, Referred.name, Referred.email)
            .join(Referrer, Referrer.id == Referral.referrer_id)
            .join(Referred, Referred.id == Referral.referred_user_id)
            .where(Referral.id.in_(ids), *narrowed(request, moment))
        )
        return {
            row.id: (
                str(row.id),
                row.referral_code,
                str(standing_of(row, moment)),
                row.payout_status,
                row.reward_amount_cents,
                major(row.reward_amount_cents, row.currency),
                row.currency,
                row.created_at,
                row.expires_at,
                row.credited_at,
                row.signup,
                row.email_verified,
                row.first_booking,
                row.minimum_spend,
                str(row.referrer_id),
                referrer,
                referrer_email if emails else masked(referrer_email),
                str(row.referred_user_id),
                referred,
                referred_email if emails else masked(referred_email),
            )
            for row, referrer, referrer_email, referred, referred_email in found
        }


def narrowed(request: ExportRequest, moment: datetime) -> list[ColumnElement[bool]]:
    filters = request.referrals
    return filters.conditions() + ([is_in(filters.status, moment)] if filters.status else [])
