"""Messages."""

from __future__ import annotations

from domain.jobs.outcomes import Outcome
from domain.notifications.delivery import deliver
from tasks.work import Work


def notification(work: Work) -> Outcome:
    return deliver(work.context.sessions, work.job, work.context.mailer, work.context.config.public_url)
