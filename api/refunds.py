"""/api/v1/admin/refunds, and the direct refund of a payment."""

from typing import Any
from uuid import UUID

from flask import Response, g, jsonify

from api.blueprints import Blueprint
from api.envelope import envelope
from api.outputs.refunds import (
    ApprovalResultSchema,
    RefundDetailSchema,
    RefundSchema,
    RejectionResultSchema,
    decided,
    detailed,
    facts,
    listed,
)
from domain.access import Permission
from domain.refunds import commands, queries
from domain.refunds.commands.decision import Decision, decision_so_far
from domain.refunds.queries import RefundFilters
from web.access import needs
from web.db import db
from web.idempotency import idempotent
from web.inputs.refunds import PaymentRefund, RefundApproval, RefundQuery, RefundRejection
from web.refunds import holder, pay_now, policy

blp = Blueprint("refunds", __name__, url_prefix="/api/v1/admin/refunds", description="The refund queue and its decisions.")
payments = Blueprint("payments", __name__, url_prefix="/api/v1/admin/payments", description="Direct refunds of payments.")


@blp.get("")
@needs(Permission.REFUNDS_LIST)
@blp.arguments(RefundQuery, location="query")
@blp.response(200, envelope(RefundSchema, many=True))
def index(filters: RefundFilters) -> dict[str, Any]:
    """List refund requests, newest first."""
    page = queries.list_refunds(db.session(), g.actor, filters, policy())
    return {"data": [listed(row) for row in page], "meta": page.meta}


@blp.get("/<uuid:refund_id>")
@needs(Permission.REFUNDS_LIST)
@blp.response(200, envelope(RefundDetailSchema))
def show(refund_id: UUID) -> dict[str, Any]:
    """One refund with its approvals, attempts, timeline and the other refunds of its payment."""
    return {"data": detailed(queries.get_refund(db.session(), g.actor, refund_id, policy()))}


def after_the_gateway(provisional: Response, **_path: UUID) -> Response:
    """The second phase: the decision has committed, now the money; then the answer as things stand."""
    refund_id = UUID(provisional.get_json()["data"]["id"])
    pay_now(refund_id)
    return answer(decision_so_far(db.session(), policy(), refund_id))


def answer(decision: Decision, *, dry_run: bool = False) -> Response:
    """200 once it is decided, 202 while a second admin must approve."""
    response = jsonify(envelope(ApprovalResultSchema)().dump({"data": decided(decision, dry_run=dry_run)}))
    response.status_code = 200 if decision.decided else 202
    return response


def is_dry_run() -> bool:
    return bool(g.get("dry_run"))


@blp.post("/<uuid:refund_id>/approve")
@needs(Permission.REFUNDS_APPROVE)
@idempotent(second_phase=after_the_gateway, dry_run=True)
@blp.arguments(RefundApproval)
@blp.response(200, envelope(ApprovalResultSchema))
@blp.alt_response(202, schema=envelope(ApprovalResultSchema), description="The first of two approvals: no money moves yet.")
def approve(decision: dict[str, Any], refund_id: UUID) -> Response:
    """Approve a refund request and pay it out, or give the first of the two approvals it needs."""
    outcome = commands.approve(db.session(), g.actor, policy(), refund_id, **decision, holder=holder())
    return answer(outcome, dry_run=is_dry_run())


@blp.post("/<uuid:refund_id>/reject")
@needs(Permission.REFUNDS_APPROVE)
@idempotent(dry_run=True)
@blp.arguments(RefundRejection)
@blp.response(200, envelope(RejectionResultSchema))
def reject(decision: dict[str, Any], refund_id: UUID) -> dict[str, Any]:
    """Reject a refund request, with the reason its customer is told."""
    refund = commands.reject(db.session(), g.actor, refund_id, **decision)
    return {"data": facts(refund) | {"dry_run": is_dry_run()}}


@blp.post("/<uuid:refund_id>/retry")
@needs(Permission.REFUNDS_APPROVE)
@idempotent(second_phase=after_the_gateway)
@blp.response(200, envelope(ApprovalResultSchema))
def retry(refund_id: UUID) -> Response:
    """Try an approved refund again that the gateway declined."""
    commands.retry(db.session(), g.actor, policy(), refund_id, holder=holder())
    db.session.flush()
    return answer(decision_so_far(db.session(), policy(), refund_id))


@payments.post("/<uuid:payment_id>/refund")
@needs(Permission.PAYMENTS_REFUND)
@idempotent(second_phase=after_the_gateway, dry_run=True)
@payments.arguments(PaymentRefund)
@payments.response(200, envelope(ApprovalResultSchema))
@payments.alt_response(202, schema=envelope(ApprovalResultSchema), description="Above the limit: it waits for a second admin.")
def refund_payment(wish: dict[str, Any], payment_id: UUID) -> Response:
    """Make a refund request for a payment; it counts as its maker's approval and takes the path of every other refund."""
    outcome = commands.refund_payment(db.session(), g.actor, policy(), payment_id, **wish, holder=holder())
    db.session.flush()
    return answer(outcome, dry_run=is_dry_run())
