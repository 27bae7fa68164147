"""Every type of job and the one line of domain behind it. A new type is a function here."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from domain.jobs.models import Job
from domain.jobs.outcomes import Outcome
from domain.notifications import NOTIFICATION
from domain.notifications.delivery import deliver
from domain.refunds.commands.decision import REFUND_PROCESSING
from domain.refunds.reconcile import REFUND_RECONCILE, reconcile
from domain.refunds.settlement import settle
from tasks.context import Context


def refund_processing(job: Job, context: Context) -> Outcome:
    return settle(context.sessions.begin, context.gateways, UUID(str(job.payload["refund_id"])))


def refund_reconcile(job: Job, context: Context) -> Outcome:
    return reconcile(context.sessions.begin, context.gateways)


def notification(job: Job, context: Context) -> Outcome:
    return deliver(context.sessions, job, context.mailer, context.config.public_url)


Handler = Callable[[Job, Context], Outcome]

HANDLERS: dict[str, Handler] = {
    REFUND_PROCESSING: refund_processing,
    REFUND_RECONCILE: refund_reconcile,
    NOTIFICATION: notification,
}
