"""What may be asked about referrals, whichever door it comes through."""

from marshmallow import validate

from domain.marketplace.models import PayoutStatus
from domain.referrals.filters import ReferralFilters
from domain.referrals.risks import RiskCode
from domain.referrals.states import ReferralState
from web.inputs import ListQuery
from web.inputs.fields import Choices, Id, QueryInteger, Text


class ReferralQuery(ListQuery):
    filters = ReferralFilters

    status = Choices(
        ReferralState,
        metadata={
            "description": "One or several with commas: pending, completed, paid, expired. `paid` are those of `completed` whose reward "
            "was paid out; a pending one past `expires_at` is expired."
        },
    )
    referrer_id = Id(metadata={"description": "Who referred."})
    referred_id = Id(metadata={"description": "Who was referred."})
    min_amount = QueryInteger(metadata={"description": "A reward of at least this, in minor units."})
    currency = Text(validate=validate.Regexp("[A-Z]{3}$", error="Write an ISO 4217 code, as in INR."))
    payout_status = Choices(PayoutStatus)
    risk = Choices(RiskCode, metadata={"description": "Those that bear one of these marks, with commas between: " + ", ".join(RiskCode)})
    q = Text(max=200, metadata={"description": "Part of a referral code, or of the name or e-mail address of either person."})
