"""Which function does the work of which type of job: one small module each."""

from __future__ import annotations

from collections.abc import Callable

from domain.jobs.outcomes import Outcome
from domain.jobs.types import (
    ANALYTICS_EXPORT,
    AUDIT_EXPORT,
    AUDIT_VERIFY,
    BACKUP,
    BACKUP_VERIFY,
    BULK_OPERATION,
    CLEANUP,
    NOTIFICATION,
    REFUND_PROCESSING,
    REFUND_RECONCILE,
    RESTORE,
    RESTORE_CHECK,
)
from tasks import audit, backups, bulk, cleanup, exports, notifications, refunds, restores
from tasks.work import Work

Handler = Callable[[Work], Outcome]

HANDLERS: dict[str, Handler] = {
    REFUND_PROCESSING.name: refunds.refund_processing,
    REFUND_RECONCILE.name: refunds.refund_reconcile,
    NOTIFICATION.name: notifications.notification,
    BULK_OPERATION.name: bulk.bulk_operation,
    ANALYTICS_EXPORT.name: exports.make_export,
    BACKUP.name: backups.backup,
    BACKUP_VERIFY.name: backups.backup_verify,
    RESTORE.name: restores.restore,
    RESTORE_CHECK.name: restores.restore_check,
    CLEANUP.name: cleanup.cleanup,
    AUDIT_EXPORT.name: exports.make_export,
    AUDIT_VERIFY.name: audit.audit_verify,
}
