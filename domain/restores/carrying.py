"""Carrying forward: from the live database into the one that is to take its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, insert, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry, AuditHead
from domain.audit.recording import digest
from domain.db import now
from domain.idempotency import purge
from domain.identity.models import RecoveryCode
from domain.identity.tidying import forget_old
from domain.jobs.models import Job, JobStatus
from domain.marketplace.models import Booking, Payment, User, Vendor
from domain.models import metadata
from domain.refunds.models import ExternalRefund, Refund, RefundApproval, RefundAttempt, RefundStatus
from domain.restores.ways import WAYS, Way

AT_ONCE = 500
Row = dict[str, Any]


@dataclass(frozen=True)
class LeftOut:
    """A live row that could not be carried, and why; it is kept, as it was, with the report."""

    table: str
    row: Row
    reason: str

    @property
    def keys(self) -> tuple[Any, ...]:
        return tuple(self.row[column.name] for column in metadata.tables[self.table].primary_key)


@dataclass
class Carried:
    """How many rows of each table were carried, how many refunds are as they are live and not as the backup has them, and what was
    left out."""

    rows: dict[str, int] = field(default_factory=dict)
    money: int = 0
    left_out: list[LeftOut] = field(default_factory=list)


class Changes(Protocol):
    """Which live rows may differ from the staged ones, so that what is alike need not be carried."""

    def of(self, table: Table) -> Iterable[ColumnElement[bool]] | None:
        """Conditions of which every such row meets one, and few others do; None where all rows are to be looked at."""


def prepare(staged: Connection) -> None:
    """Take out of the backup what must not come back in any case. To be committed before `carry`, which compares."""
    for table in reversed(metadata.sorted_tables):  # children first
        if WAYS[table.name] in (Way.LIVE_ONLY, Way.EMPTY):
            staged.execute(delete(table))
    close_jobs(staged)
    with Session(staged) as session:  # what is over stands in the way of what took its place, such as a key that was used anew
        purge(session)
        forget_old(session)
        session.commit()


def carry(
    live: Connection, staged: Connection, changes: Changes | None = None, told: Callable[[str], None] = lambda table: None
) -> Carried:
    """Carry forward all that must not go back in time, while the portal works on.

    `live` is read only; `staged` has the backup's rows under the present schema, prepared. Both are transactions of the caller's, the
    live one of a single moment.
    """
    carrying = Carrying(live, staged, changes)
    for table in metadata.sorted_tables:  # parents first
        told(table.name)
        carrying.table(table)
    return carrying.carried


def carry_again(live: Connection, staged: Connection, before: Carried, changes: Changes | None = None) -> Carried:
    """Carry what differs by now; answers what was carried in all."""
    carrying = Carrying(live, staged, changes, again=True)
    carrying.carried.rows, carrying.carried.money = dict(before.rows), before.money
    for table in reversed(metadata.sorted_tables):
        if WAYS[table.name] is Way.LIVE_ONLY:
            staged.execute(delete(table))
            carrying.carried.rows.pop(table.name, None)
    for table in metadata.sorted_tables:
        carrying.table(table)
    out, carrying.carried.left_out = [*before.left_out, *carrying.carried.left_out], []
    parents_first = [table.name for table in metadata.sorted_tables]
    for name, keys in sorted(dict.fromkeys((one.table, one.keys) for one in out), key=lambda one: parents_first.index(one[0])):
        carrying.once_more(metadata.tables[name], keys)
    return carrying.carried


class Carrying:
    def __init__(self, live: Connection, staged: Connection, changes: Changes | None = None, again: bool = False):
        self.live, self.staged, self.changes, self.again = live, staged, changes, again
        self.carried = Carried()

    def table(self, table: Table) -> None:
        way = WAYS[table.name]
        if table is ExternalRefund.__table__:
            for some in batches(self.changed(table)):
                self.put_payments({row["payment_id"] for row in some})
        if way is Way.LIVE_ONLY:
            self.put(table, self.rows(table))
        elif way in (Way.LIVE_WINS, Way.CLOSED):
            self.put(table, self.changed(table))
        elif way is Way.ADDED:
            self.put(table, self.changed(table), changing=False)
        elif way is Way.GREATEST:
            self.raise_numbers(table)
        elif table is Refund.__table__:
            self.money()
        elif table is RecoveryCode.__table__:
            self.codes()
        elif table is AuditEntry.__table__:
            self.chain()

    def changed(self, table: Table, *conditions: Any) -> Iterator[Row]:
        found = self.changes.of(table) if self.changes is not None else None
        for one in (true(),) if found is None else found:
            yield from self.rows(table, one, *conditions)

    def once_more(self, table: Table, keys: Sequence[Any]) -> None:
        """What did not fit at first may fit once those that stood in its way were carried."""
        this = [column == key for column, key in zip(table.primary_key, keys, strict=True)]
        for row in self.rows(table, *this):
            self.put_one(table, row, WAYS[table.name] not in (Way.ADDED, Way.RESTORED))

    def raise_numbers(self, table: Table) -> None:
        for row in self.rows(table):
            found = self.staged.execute(select(table).where(*(column == row[column.name] for column in table.primary_key))).first()
            higher = row if found is None else {name: max(value, found._mapping[name]) for name, value in row.items()}
            self.put(table, [higher])

    def rows(self, table: Table, *conditions: Any) -> Iterator[Row]:
        found = self.live.execute(select(table).where(*conditions).execution_options(yield_per=AT_ONCE))
        return (dict(row._mapping) for row in found)

    def money(self) -> None:
        """Refunds that were decided for, or whose money was ever asked for, with their approvals and with all that they stand on."""
        refunds, attempts = table_of(Refund), table_of(RefundAttempt)
        asked_for = exists().where(attempts.c.refund_id == refunds.c.id)
        decided = refunds.c.status.in_((RefundStatus.APPROVED, RefundStatus.PROCESSED))
        for some in batches(self.changed(refunds, or_(decided, asked_for))):
            self.put_payments({row["payment_id"] for row in some})
            ids = [row["id"] for row in some]
            found = self.staged.execute(select(refunds.c.id, refunds.c.status).where(refunds.c.id.in_(ids)))
            had = {row["id"]: row["status"] for row in found.mappings()}
            self.carried.money += sum(1 for row in some if had.get(row["id"]) != row["status"])
            self.put(refunds, some)
            approvals = table_of(RefundApproval)
            self.staged.execute(delete(approvals).where(approvals.c.refund_id.in_(ids)))
            self.put(approvals, self.rows(approvals, approvals.c.refund_id.in_(ids)))

    def put_payments(self, payment_ids: set[UUID]) -> None:
        """What happened to a payment that the backup does not know brings the payment, its booking and both sides with it."""
        payments, bookings = table_of(Payment), table_of(Booking)
        paid = self.rows_lacking(payments, payment_ids)
        booked = self.rows_lacking(bookings, {row["booking_id"] for row in paid})
        for model, column in ((User, "user_id"), (Vendor, "vendor_id")):
            people = table_of(model)
            self.put(people, self.rows_lacking(people, {row[column] for row in booked}), changing=False)
        self.put(bookings, booked, changing=False)
        self.put(payments, paid, changing=False)

    def rows_lacking(self, table: Table, ids: set[UUID]) -> list[Row]:
        """Of these live rows, those that the backup does not have."""
        had = set(self.staged.scalars(select(table.c.id).where(table.c.id.in_(ids))))
        return list(self.rows(table, table.c.id.in_(ids - had))) if ids - had else []

    def codes(self) -> None:
        """Codes that were replaced since must not open anything again."""
        codes = table_of(RecoveryCode)
        admins = self.live.execute(select(metadata.tables["admin_users"].c.id)).scalars().all()
        for some in batches(iter(admins)):
            self.staged.execute(delete(codes).where(codes.c.admin_id.in_(some)))
        self.put(codes, self.rows(codes))

    def chain(self) -> None:
        """The log never goes back. Where the backup's end is a link of the live chain, the rest of that follows; where the two have
        nothing in common, as on a machine that was set up anew, the live entries are sealed anew behind the backup's."""
        entries, heads = table_of(AuditEntry), table_of(AuditHead)
        end = self.staged.execute(select(heads)).one()
        live_end = self.live.execute(select(heads)).one()
        if self.is_link_of_the_live_chain(end.sequence, end.hash):
            self.put(entries, self.rows(entries, entries.c.sequence > end.sequence), changing=False)
            self.staged.execute(update(heads).values(sequence=live_end.sequence, hash=live_end.hash))
        elif not self.holds_the_live_chain(live_end.sequence, live_end.hash):
            self.seal_anew(end.sequence, end.hash)

    def is_link_of_the_live_chain(self, sequence: int, hash: str) -> bool:
        entries = table_of(AuditEntry)
        return sequence == 0 or self.live.scalar(select(entries.c.hash).where(entries.c.sequence == sequence)) == hash

    def holds_the_live_chain(self, sequence: int, hash: str) -> bool:
        """Whether what is live was carried already, or is a beginning of what the backup has."""
        entries = table_of(AuditEntry)
        return sequence == 0 or self.staged.scalar(select(entries.c.hash).where(entries.c.sequence == sequence)) == hash

    def seal_anew(self, sequence: int, hash: str) -> None:
        entries, heads = table_of(AuditEntry), table_of(AuditHead)
        for row in self.rows(entries):
            if self.staged.scalar(select(entries.c.sequence).where(entries.c.id == row["id"])) is not None:
                continue  # sealed by a carrying before this one
            row["details"] = {**row["details"], "carried_from": f"{row['sequence']}:{row['hash']}"}
            sequence += 1
            entry = AuditEntry(**{**row, "sequence": sequence, "previous_hash": hash})
            entry.hash = hash = digest(entry)
            self.staged.execute(insert(entries), [{**row, "sequence": sequence, "previous_hash": entry.previous_hash, "hash": hash}])
            self.count(entries)
        self.staged.execute(update(heads).values(sequence=sequence, hash=hash))

    def put(self, table: Table, rows: Iterable[Row], *, changing: bool = True) -> None:
        """Insert each row, or, where `changing`, make the one with its key like it. What the others do not let in is left out by name."""
        for some in batches(iter(rows)):
            try:
                with self.staged.begin_nested():
                    self.upsert(table, some, changing)
                self.count(table, len(some))
            except IntegrityError:
                for row in some:
                    self.put_one(table, row, changing)

    def put_one(self, table: Table, row: Row, changing: bool) -> None:
        try:
            with self.staged.begin_nested():
                self.upsert(table, [row], changing)
            self.count(table)
        except IntegrityError as error:
            self.carried.left_out.append(LeftOut(table.name, row, str(error.orig).splitlines()[0]))

    def upsert(self, table: Table, rows: Sequence[Row], changing: bool) -> None:
        into = postgresql_insert(table) if self.staged.dialect.name == "postgresql" else sqlite_insert(table)
        keys = [column.name for column in table.primary_key]
        others = {column.name: into.excluded[column.name] for column in table.columns if column.name not in keys}
        statement = into.on_conflict_do_update(index_elements=keys, set_=others) if changing and others else None
        self.staged.execute(statement if statement is not None else into.on_conflict_do_nothing(index_elements=keys), list(rows))

    def count(self, table: Table, rows: int = 1) -> None:
        if self.again and WAYS[table.name] not in (Way.LIVE_ONLY, Way.CHAIN):
            return  # counted when they were carried first, but for a few that came since
        self.carried.rows[table.name] = self.carried.rows.get(table.name, 0) + rows


def close_jobs(staged: Connection) -> None:
    """What only the backup has of jobs: nobody waits for them, and what they were to do was done, or was taken back with the rest."""
    jobs = table_of(Job)
    unfinished = jobs.c.status.in_((JobStatus.PENDING, JobStatus.PROCESSING))
    error = {"code": "SUPERSEDED_BY_RESTORE", "message": "A restore put an earlier state in place of the one this job belonged to."}
    moment = now()
    closed = {"status": JobStatus.CANCELLED, "error": error, "finished_at": moment, "cancelled_at": moment, "lease_owner": None}
    staged.execute(update(jobs).where(unfinished).values(**closed, lease_until=None, cancel_acknowledged_at=moment))


def table_of(model: Any) -> Table:
    table: Table = model.__table__
    return table


def batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while some := list(islice(rows, AT_ONCE)):
        yield some
