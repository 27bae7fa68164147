"""What both doors need to decide on refunds: the policy as configured, and the payout that the deciding request tries first."""

from uuid import UUID

from flask import current_app
from sqlalchemy import select
from sqlalchemy.orm import sessionmaker

from domain.jobs import leases
from domain.jobs.commands import Holder
from domain.jobs.models import Job, JobStatus
from domain.jobs.types import REFUND_PROCESSING
from domain.refunds.gateway import Gateways
from domain.refunds.policy import RefundPolicy
from domain.refunds.settlement import Transactions, settle_held
from web.db import db
from web.requests import request_id

BEYOND_THE_GATEWAY = 5.0
"""Seconds a request may need around its gateway call before a worker takes over."""


def policy() -> RefundPolicy:
    settings = current_app.config["PORTAL"]
    return RefundPolicy(dual_limits=settings.dual_approval_limits, default_currency=settings.default_currency)


def gateways() -> Gateways:
    found: Gateways = current_app.extensions["gateways"]
    return found


def holder() -> Holder:
    """This request, as the one that tries a payout before any worker does."""
    return Holder(f"web:{request_id()}", current_app.config["PORTAL"].gateway_timeout_seconds + BEYOND_THE_GATEWAY)


def pay_now(refund_id: UUID) -> None:
    """Try the payout of a refund within the gateway's timeout: this request's own, or one whose request died. A worker does the rest."""
    transactions: Transactions = sessionmaker(db.engine, expire_on_commit=False).begin
    me = holder()
    with transactions() as session:
        job = session.scalars(
            select(Job).where(
                Job.type == REFUND_PROCESSING.name,
                Job.subject_id == refund_id,
                Job.status.in_((JobStatus.PENDING, JobStatus.PROCESSING)),
            )
        ).first()
        if job is None:
            return
        if job.lease_owner != me.name and leases.claim(session, job.id, me.name) is None:
            return
    settle_held(transactions, gateways(), job.id, me.name, refund_id, seconds=current_app.config["PORTAL"].gateway_timeout_seconds)
