"""Messages to customers, vendors and admins.

    wanted -> written down as a `notification` job -> composed from the rows as they are -> sent, or refused for good

A change asks for a message in its own transaction (`requests.py`); the job keeps ids and the kind, never an address or a text. When a
worker takes it up, `letters.py` says what there is to say by then, and `delivery.py` hands it to whatever sends mail
(adapters/mail.py). What is said to whom, and when, is in docs/messages.md.
"""

from domain.notifications.requests import (
    request_alarm,
    request_decision,
    request_failure,
    request_invitation,
    request_second_approval,
)

__all__ = ["request_alarm", "request_decision", "request_failure", "request_invitation", "request_second_approval"]
