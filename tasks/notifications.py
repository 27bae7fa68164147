"""Messages."""

from __future__ import annotations

from domain.identity.invitations import InvitationLinks
from domain.jobs.outcomes import Outcome
from domain.notifications.delivery import deliver
from tasks.work import Work


def notification(work: Work) -> Outcome:
    settings = work.context.config
    links = InvitationLinks(settings.derived_key("invitations"), settings.public_url)
    return deliver(work.context.sessions, work.job, work.context.mailer, settings.public_url, links.url)
