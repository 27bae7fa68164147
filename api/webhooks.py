"""/api/v1/webhooks/<gateway>: what payment gateways tell. No token: the signature over the raw bytes is what admits."""

from flask import Response, jsonify, request

from api.blueprints import Blueprint
from domain.refunds.webhooks import receive
from web.db import db
from web.refunds import gateways

blp = Blueprint("webhooks", __name__, url_prefix="/api/v1/webhooks", description="Called by payment gateways.")


@blp.post("/stripe")
def stripe() -> Response:
    """Take an event from Stripe, signed with a webhook secret of ours."""
    return take("stripe")


@blp.post("/razorpay")
def razorpay() -> Response:
    """Take an event from Razorpay, signed with a webhook secret of ours."""
    return take("razorpay")


def take(gateway: str) -> Response:
    notice = gateways()[gateway].parse_webhook(request.get_data(cache=False), request.headers)  # type: ignore[arg-type]  # read like a mapping, in any case of letters
    fresh = receive(db.session(), gateway, notice)
    db.session.commit()
    return jsonify(success=True, data={"event_id": notice.event_id, "taken": fresh})
