"""/api/v1/admin/referrals: who brought whom, and what became of the reward."""

from typing import Any
from uuid import UUID

from flask import current_app, g

from api.blueprints import Blueprint
from api.envelope import envelope
from api.outputs.referrals import ReferralDetailSchema, ReferralListMeta, ReferralSchema, detailed, listed
from domain.access import Permission
from domain.referrals import detail, queries
from domain.referrals.filters import ReferralFilters
from web.access import needs
from web.cache import cache
from web.db import db
from web.inputs.referrals import ReferralQuery

blp = Blueprint("referrals", __name__, url_prefix="/api/v1/admin/referrals", description="Referrals and their rewards.")


@blp.get("")
@needs(Permission.REFERRALS_LIST)
@blp.arguments(ReferralQuery, location="query")
@blp.response(200, envelope(ReferralSchema, many=True, meta=ReferralListMeta))
def index(filters: ReferralFilters) -> dict[str, Any]:
    """List referrals, newest first, with what each lacks and what looks wrong about it."""
    page = queries.list_referrals(db.session(), g.actor, filters, cache(), current_app.config["PORTAL"].default_currency)
    return {"data": [listed(row) for row in page], "meta": page.meta}


@blp.get("/<uuid:referral_id>")
@needs(Permission.REFERRALS_LIST)
@blp.response(200, envelope(ReferralDetailSchema))
def show(referral_id: UUID) -> dict[str, Any]:
    """One referral with the referred user's bookings, what they paid and what of it was refunded."""
    return {"data": detailed(detail.get_referral(db.session(), g.actor, referral_id))}
