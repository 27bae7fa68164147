"""What both doors need to decide on refunds: the policy as configured, and the payout that the deciding request tries first."""

from uuid import UUID

from flask import current_app
from sqlalchemy.orm import sessionmaker

from domain.jobs.commands import Holder
from domain.refunds.gateway import Gateways
from domain.refunds.policy import RefundPolicy
from domain.refunds.settlement import Transactions, hold_payout, settle_held
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
        job_id = hold_payout(session, refund_id, me)
    if job_id is None:
        return
    settle_held(transactions, gateways(), job_id, me.name, refund_id, seconds=current_app.config["PORTAL"].gateway_timeout_seconds)
