"""Jobs about refunds: one line into the domain each, with the gateways in hand."""

from __future__ import annotations

from uuid import UUID

from domain.jobs.outcomes import Outcome
from domain.refunds.reconcile import reconcile
from domain.refunds.settlement import settle
from tasks.work import Work


def refund_processing(work: Work) -> Outcome:
    return settle(work.context.sessions.begin, work.context.gateways, UUID(str(work.job.payload["refund_id"])))


def refund_reconcile(work: Work) -> Outcome:
    return reconcile(work.context.sessions.begin, work.context.gateways)
