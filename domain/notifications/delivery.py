"""Sending one message: what a worker does with a notification job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sqlalchemy.orm import Session

from domain.db import now, read_only
from domain.jobs.models import Job
from domain.jobs.outcomes import Again, Done, Failed, Outcome
from domain.notifications.letters import InvitationUrl, Unneeded, compose
from domain.notifications.message import Message

GIVE_UP_AFTER = timedelta(hours=48)
LONGEST_WAIT_SECONDS = 3600


@dataclass(frozen=True)
class Sent:
    """Taken by the mail server, or kept in the outbox."""


@dataclass(frozen=True)
class Refused:
    """Turned away for good."""

    reason: str


@dataclass(frozen=True)
class TryLater:
    """Not taken this time."""

    reason: str


class Mailer(Protocol):
    """Whatever sends mail. It raises nothing: faults are answers, and no answer holds an address."""

    def send(self, message: Message) -> Sent | Refused | TryLater: ...


def deliver(new_session: Callable[[], Session], job: Job, mailer: Mailer, public_url: str, invitation_url: InvitationUrl) -> Outcome:
    """Compose the job's message and send it. The database is let go before the mail server is spoken to.

    A worker that dies between sending and writing it down sends again, under the same Message-ID: better twice than never.
    """
    with read_only(), new_session() as session:
        message = compose(session, job, public_url, invitation_url)
    if isinstance(message, Unneeded):
        return Done({"sent": False, "reason": message.reason})
    answer = mailer.send(message)
    if isinstance(answer, Sent):
        return Done({"sent": True, "message_id": message.message_id})
    if isinstance(answer, Refused):
        return Failed("MESSAGE_REFUSED", answer.reason)
    if now() - job.created_at > GIVE_UP_AFTER:
        return Failed("MESSAGE_NOT_SENT", f"Given up after 48 hours. {answer.reason}")
    return Again(wait_seconds(job.attempts), answer.reason)


def wait_seconds(attempts: int) -> float:
    """One minute, two, four, and so on up to an hour."""
    return float(min(60 * 2 ** min(max(attempts - 1, 0), 6), LONGEST_WAIT_SECONDS))
