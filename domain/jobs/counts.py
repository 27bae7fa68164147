"""How many jobs there are of each status, at a cost that does not grow with them.

Triggers add a line of +1 or -1 for each job that comes, goes or changes its status. Lines are only ever added, so no two transactions
wait for each other over a count, and a line commits with the change it is about. Every so often they are folded: many lines become
one line of their sum for each type, creator and status. A reader sums whatever lines there are in one statement, and cannot see a
folding halfway.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import ScalarSelect, delete, func, insert, literal, select
from sqlalchemy.orm import Session

from domain.jobs.models import JobCountChange

WORTH_FOLDING = 300


def by_status(session: Session, *, types: Collection[str] = (), creators: Sequence[UUID | None] = ()) -> dict[str, int]:
    """The jobs that are not deleted: of these types, if any are named, and whose creator is every one of those named."""
    counted = select(JobCountChange.status, func.sum(JobCountChange.change)).group_by(JobCountChange.status)
    if types:
        counted = counted.where(JobCountChange.type.in_(types))
    for creator_id in creators:
        counted = counted.where(JobCountChange.creator_id == creator_id)
    return {status: int(count) for status, count in session.execute(counted)}


def number_of(status: str, creators: Sequence[UUID | None] = ()) -> ScalarSelect[int]:
    """The same for one status, to be read within a statement."""
    counted = select(func.coalesce(func.sum(JobCountChange.change), 0)).where(JobCountChange.status == status)
    return counted.where(*(JobCountChange.creator_id == creator_id for creator_id in creators)).scalar_subquery()


def worth_folding(session: Session) -> bool:
    fresh = select(JobCountChange.id).where(JobCountChange.folded.is_(False)).limit(1).offset(WORTH_FOLDING)
    return session.scalar(fresh) is not None


def fold(session: Session) -> None:
    """Make one line of many. Two at once take different lines, and each leaves the sums as they were."""
    if session.get_bind().dialect.name == "postgresql":
        fold_in_one_statement(session)
    else:
        fold_under_the_write_lock(session)


GROUP = (JobCountChange.type, JobCountChange.creator_id, JobCountChange.status)
COLUMNS = ["type", "creator_id", "status", "change", "folded"]


def fold_in_one_statement(session: Session) -> None:
    free = select(JobCountChange.id).with_for_update(skip_locked=True)
    taken = (
        delete(JobCountChange)
        .where(JobCountChange.id.in_(free))
        .returning(JobCountChange.type, JobCountChange.creator_id, JobCountChange.status, JobCountChange.change)
        .cte("taken")
    )
    total = func.sum(taken.c.change)
    summed = (
        select(taken.c.type, taken.c.creator_id, taken.c.status, total, literal(True))
        .group_by(taken.c.type, taken.c.creator_id, taken.c.status)
        .having(total != 0)
    )
    session.execute(insert(JobCountChange).from_select(COLUMNS, summed, include_defaults=False))


def fold_under_the_write_lock(session: Session) -> None:
    """On SQLite this transaction is the only one that writes: what it sums is what it deletes."""
    newest = session.scalar(select(func.max(JobCountChange.id)))
    if newest is None:
        return
    total = func.sum(JobCountChange.change)
    old = JobCountChange.id <= newest
    summed = select(*GROUP, total, literal(True)).where(old).group_by(*GROUP).having(total != 0)
    session.execute(insert(JobCountChange).from_select(COLUMNS, summed, include_defaults=False))
    session.execute(delete(JobCountChange).where(old).execution_options(synchronize_session=False))
