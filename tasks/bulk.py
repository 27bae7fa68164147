"""Bulk decisions on refunds: one line into the domain, with the gateways in hand."""

from __future__ import annotations

from domain.jobs.outcomes import Outcome
from domain.refunds.bulk import NotOurs, Tools, decide_all
from domain.refunds.policy import RefundPolicy
from tasks.work import Stopped, Work


def bulk_operation(work: Work) -> Outcome:
    context, config = work.context, work.context.config
    policy = RefundPolicy(dual_limits=config.dual_approval_limits, default_currency=config.default_currency)
    tools = Tools(context.sessions.begin, context.gateways, policy, config.gateway_timeout_seconds, work.check)
    try:
        return decide_all(tools, work.job, work.owner)
    except NotOurs:
        work.cancelled.set()
        raise Stopped from None
