"""What may be asked about refunds, whichever door it comes through."""

from enum import StrEnum

from marshmallow import validate

from domain.refunds.models import Alternative, Priority, ProcessingState, RefundStatus
from domain.refunds.queries import SECOND_APPROVAL, RefundFilters
from web.inputs import Input, ListQuery
from web.inputs.fields import Cents, Choice, Choices, Flag, Id, QueryInteger, Text


class Awaiting(StrEnum):
    SECOND_APPROVAL = SECOND_APPROVAL


class RefundQuery(ListQuery):
    filters = RefundFilters

    status = Choices(RefundStatus)
    user_id = Id()
    vendor_id = Id()
    min_amount = QueryInteger(metadata={"description": "Requested at least this, in minor units."})
    awaiting = Choice(Awaiting, metadata={"description": "Those that have their first approval and wait for the second."})
    processing_state = Choices(ProcessingState)
    currency = Text(validate=validate.Regexp("[A-Z]{3}$", error="Write an ISO 4217 code, as in INR."))
    reason = Text(max=100)
    priority = Choices(Priority)
    q = Text(max=200, metadata={"description": "Part of a refund or booking number, of the customer's name or e-mail address."})


REASON = {"description": "Told to the customer and kept in the audit log."}
NOTES = {"description": "For admins only."}


class RefundApproval(Input):
    amount_cents = Cents(
        data_key="approved_amount_cents", allow_none=True, metadata={"description": "Minor units; all that was requested if left out."}
    )
    reason = Text(required=True, min=3, max=2000, metadata=REASON)
    admin_notes = Text(max=5000, allow_none=True, metadata=NOTES)
    notify_user = Flag(load_default=True)
    notify_vendor = Flag(load_default=True)


class RefundRejection(Input):
    reason = Text(required=True, min=3, max=2000, metadata=REASON)
    admin_notes = Text(max=5000, allow_none=True, metadata=NOTES)
    notify_user = Flag(load_default=True)
    offer_alternative = Choice(Alternative, load_default=Alternative.NONE)


class PaymentRefund(Input):
    amount_cents = Cents(allow_none=True, metadata={"description": "Minor units; all that is left of the payment if left out."})
    reason = Text(required=True, min=3, max=2000, metadata=REASON)
    notify_user = Flag(load_default=True)
