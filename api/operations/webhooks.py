"""What gateways tell."""

from api.operations.parts import Operation, success
from api.refusals import Refusal

BAD_SIGNATURE = Refusal(400, "INVALID_SIGNATURE", "The webhook's signature was made with none of our secrets")
UNREADABLE = Refusal(422, "VALIDATION_ERROR", "The webhook is signed but cannot be read: it is not a JSON object")
TOO_LARGE = Refusal(413, "PAYLOAD_TOO_LARGE", "The body is larger than 1 MiB: send less at a time.")
WEBHOOK = (BAD_SIGNATURE, UNREADABLE, TOO_LARGE)

OPERATIONS = {
    "webhooks.stripe": Operation(answers={200: success({"event_id": "evt_1MqqbKLt4dXK03v5qaIbiNCC", "taken": True})}, refusals=WEBHOOK),
    "webhooks.razorpay": Operation(answers={200: success({"event_id": "MDvXlUZdLzxVgb", "taken": True})}, refusals=WEBHOOK),
}
