"""Changing refunds: one file per act."""

from domain.refunds.commands.approve import approve
from domain.refunds.commands.reject import reject
from domain.refunds.commands.request import refund_payment
from domain.refunds.commands.retry import retry

__all__ = ["approve", "refund_payment", "reject", "retry"]
