"""What kinds of job there are: what each may lose, whether it can be cancelled or run again, and who may start it.

A new type is an entry here and one small file in tasks/ that does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from domain.access import Permission
from domain.exports.permissions import permissions_for


@dataclass(frozen=True)
class JobType:
    """`may_lose`: how many workers it may lose before it fails. `cancellable`: until it passes its point of no return, where it has
    one. `started_with`: the permission that starts it; None where only the portal itself does. `run_again`: whether a failed one can be
    asked for once more as it was. `also_needs`: further permissions, by what is asked for."""

    name: str
    title: str
    may_lose: int = 3
    cancellable: bool = True
    started_with: Permission | None = None
    run_again: bool = True
    also_needs: Callable[[Mapping[str, Any]], tuple[Permission, ...]] = lambda parameters: ()

    def permissions(self, parameters: Mapping[str, Any]) -> tuple[Permission, ...]:
        """All that it takes to start such a job with these parameters, to run it again and to have its result."""
        return (self.started_with, *self.also_needs(parameters)) if self.started_with else ()


NEVER_GIVEN_UP = 1_000_000
"""A payout outlives any number of lost workers: only an answer of the gateway ends it."""

ANALYTICS_EXPORT = JobType("analytics_export", "Export", started_with=Permission.ANALYTICS_VIEW, also_needs=permissions_for)
BULK_OPERATION = JobType("bulk_operation", "Bulk decision", may_lose=20, started_with=Permission.REFUNDS_APPROVE)
NOTIFICATION = JobType("notification", "Message", may_lose=5)
REFUND_PROCESSING = JobType("refund_processing", "Refund payout", may_lose=NEVER_GIVEN_UP, cancellable=False, run_again=False)
REFUND_RECONCILE = JobType("refund_reconcile", "Refund reconciliation", cancellable=False, run_again=False)
BACKUP = JobType("backup", "Backup", may_lose=1, run_again=False)
BACKUP_VERIFY = JobType("backup_verify", "Backup verification", run_again=False)
RESTORE = JobType("restore", "Restore", run_again=False)
RESTORE_CHECK = JobType("restore_check", "Comparison after a restore", cancellable=False, run_again=False)
CLEANUP = JobType("cleanup", "Clean-up", cancellable=False, run_again=False)
AUDIT_EXPORT = JobType("audit_export", "Audit export", started_with=Permission.AUDIT_LIST)
AUDIT_VERIFY = JobType("audit_verify", "Audit verification", run_again=False)

EVERY = (
    ANALYTICS_EXPORT,
    BULK_OPERATION,
    NOTIFICATION,
    REFUND_PROCESSING,
    REFUND_RECONCILE,
    BACKUP,
    BACKUP_VERIFY,
    RESTORE,
    RESTORE_CHECK,
    CLEANUP,
    AUDIT_EXPORT,
    AUDIT_VERIFY,
)
JOB_TYPES = {each.name: each for each in EVERY}


def type_of(name: str) -> JobType:
    """The type of that name; one that is no longer known is left alone."""
    return JOB_TYPES.get(name) or JobType(name, name, cancellable=False, run_again=False)
