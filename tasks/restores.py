"""Restores: done by the restorer, told by the job; and what the gateways say of the refunds afterwards."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from domain.access import SYSTEM
from domain.backups.errors import OperationInProgress
from domain.db import read_only
from domain.errors import DomainError
from domain.jobs.outcomes import Again, Done, Failed, Outcome
from domain.restores.asked import find_asker
from domain.restores.checking import compare
from domain.restores.commands import record_recovered, told
from domain.restores.models import Restore
from domain.restores.restorer import Order
from tasks.context import Context
from tasks.work import Work


def restore(work: Work) -> Outcome:
    """Only once: where a run of it ended in the middle, however that came, what is left is to say on which side of the swap it stands."""
    restorer = work.context.restorer
    try:
        if work.job.losses or restorer.was_begun(work.job.id):
            restorer.recover()
            return outcome(work) or Failed("RESTORE_INTERRUPTED", "It was stopped before the swap: nothing was changed. Ask for it again.")
        order = order_of(work)
        try:
            (restorer.restore if order.undone_id is None else restorer.roll_back)(order, work.progress, work.past_return)
        finally:
            work.context.engine.dispose()  # on PostgreSQL the swap has ended every connection
    except OperationInProgress:
        return Again(5, "Waits for another backup or restore to end")
    except DomainError as error:
        return outcome(work) or Failed(error.code, error.message)
    return outcome(work) or Failed("RESTORE_FAILED", "The restored data do not have this restore in them: look at the log.")


def recover(context: Context) -> None:
    """What a worker that starts does first: say on which side of the swap a restore stands whose process died."""
    try:
        sides = context.restorer.recover()
    except OperationInProgress:
        return
    if sides:
        with context.sessions.begin() as session:
            record_recovered(session, SYSTEM, [(side.restore_id, side.swapped, side.step) for side in sides])


def forget_old(context: Context) -> None:
    """Remove replaced data that were kept for long enough."""
    with suppress(OperationInProgress):
        context.restorer.forget_old()


def order_of(work: Work) -> Order:
    asked = work.job.payload
    with read_only(), work.context.sessions() as session:
        creator = find_asker(session, work.job)
    moment = asked.get("target_timestamp")
    return Order(
        id=work.job.id,
        requested_by=creator.name if creator else "System",
        requested_by_id=work.job.creator_id,
        backup_id=UUID(asked["backup_id"]) if asked.get("backup_id") else None,
        moment=datetime.fromisoformat(moment) if moment else None,
        undone_id=UUID(asked["undone_id"]) if asked.get("undone_id") else None,
        uploads=asked.get("include_uploads", True),
    )


def outcome(work: Work) -> Outcome | None:
    """Done exactly if the live data have the restore in them."""
    with read_only(), work.context.sessions() as session:
        row = session.get(Restore, work.job.id)
        return None if row is None else Done(told(row))


def restore_check(work: Work) -> Outcome:
    def tell(done: int, total: int) -> None:
        work.progress(100 * done / max(total, 1), f"Asking the gateways: {done} of {total} refunds")

    report = compare(work.context.sessions.begin, work.context.gateways, UUID(work.job.payload["restore_id"]), tell)
    return Done({name: count for name, count in report.items() if name != "refunds"})
