"""Taking the marketplace's records in from CSV files: all of them or, at the first fault, none.

A row that is there already stays as it is. Where the file says something else about it the import stops, unless the difference is
a decision that was made here meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor, Permission
from domain.errors import Conflict, Invalid
from domain.marketplace.csv_files import BadFile, CsvFile, Record, shortened
from domain.marketplace.import_files import KINDS, REFUNDS, Kind, Source
from domain.marketplace.seen import Seen
from domain.refunds.models import RefundNumber, RefundStatus

BATCH = 1000
IMPORT_LOCK = 7204311  # any number, the same in every process
NUMBERED = re.compile(r"RF-(\d{4})-(\d{6,9})", re.ASCII)

Progress = Callable[[int], None]
"""Told how many more bytes of the files were read."""


class ImportRunning(Conflict):
    code = "IMPORT_RUNNING"


class ChangedMeanwhile(Conflict):
    code = "CHANGED_MEANWHILE"


@dataclass
class FileCount:
    """What came of one file; `file` is None where there was none."""

    name: str
    file: str | None
    new: int = 0
    already_there: int = 0


@dataclass(frozen=True)
class Folder:
    """The import files of a folder, and what else in it looks like one."""

    path: Path
    files: dict[str, CsvFile]
    ignored: list[str]

    @property
    def size(self) -> int:
        return sum(file.path.stat().st_size for file in self.files.values())

    @property
    def missing(self) -> list[str]:
        return [kind.name for kind in KINDS if kind.name not in self.files]


def open_folder(path: Path) -> Folder:
    """Find the files to import. Raises BadFile where there is none, or one is there twice."""
    files: dict[str, CsvFile] = {}
    for kind in KINDS:
        found = [path / name for name in kind.filenames if (path / name).is_file()]
        if len(found) > 1:
            raise BadFile(f"there is {found[0].name} as well; leave one of them", file=found[1].name)
        if found:
            files[kind.name] = CsvFile(found[0])
    if not files:
        expected = ", ".join(kind.filenames[0] for kind in KINDS)
        raise Invalid(f"There is nothing to import in {path}: it needs one or more of {expected}, each also as .csv.gz")
    known = {name for kind in KINDS for name in kind.filenames}
    ignored = sorted(file.name for file in path.iterdir() if file.name.endswith((".csv", ".csv.gz")) and file.name not in known)
    return Folder(path, files, ignored)


def import_folder(session: Session, actor: Actor, folder: Folder, progress: Progress = lambda count: None) -> list[FileCount]:
    """Take in every file of the folder. Raises BadFile at the first fault; the caller rolls back."""
    actor.require(Permission.DATA_IMPORT)
    be_alone_and_unhurried(session)
    counts = []
    for kind in KINDS:
        count = FileCount(kind.name, None)
        if kind.name in folder.files:
            try:
                count = import_file(session, kind, folder.files[kind.name], folder.missing, progress)
            except IntegrityError:
                raise ChangedMeanwhile(
                    "Somebody else changed the same rows during the import. Nothing was imported; run it again."
                ) from None
        counts.append(count)
    new: dict[str, Any] = {count.name: count.new for count in counts if count.new}
    if new:
        audit.record(session, actor, "data.imported", **new)
    return counts


def be_alone_and_unhurried(session: Session) -> None:
    """One import at a time. SQLite's writers are alone anyhow; PostgreSQL's settings are for requests, and this is none."""
    if session.get_bind().dialect.name == "postgresql":
        if not session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": IMPORT_LOCK}):
            raise ImportRunning("Another import is running. Wait for it, then run this again.")
        session.execute(text("SET LOCAL statement_timeout = '10min'"))
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10min'"))


def import_file(session: Session, kind: Kind, file: CsvFile, missing: list[str], progress: Progress) -> FileCount:
    count, source, numbers, position = FileCount(kind.name, file.name), Source(file.name, missing), HighestNumbers(), 0
    with Seen() as seen:
        for batch in batches(file.records(kind.columns)):
            refuse_repeated(kind, file, batch, seen)
            given = [set(record.values) for record in batch]
            kind.complete(session, source, batch)
            stored = rows_by_id(session, kind, batch)
            for record, columns in zip(batch, given, strict=True):
                if record.values["id"] in stored:
                    refuse_other_content(kind, file, record, columns, stored[record.values["id"]])
            new = [record for record in batch if record.values["id"] not in stored]
            refuse_taken(session, kind, file, new)
            if new:
                session.execute(insert(kind.table), [record.values for record in new])
                if kind is REFUNDS:
                    numbers.note(record.values["refund_number"] for record in new)
            count.new += len(new)
            count.already_there += len(batch) - len(new)
            progress(file.position - position)
            position = file.position
    progress(file.path.stat().st_size - position)
    numbers.store(session)
    return count


def batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    while batch := list(islice(records, BATCH)):
        yield batch


def refuse_repeated(kind: Kind, file: CsvFile, batch: list[Record], seen: Seen) -> None:
    for record in batch:
        for key in kind.keys:
            first = seen.before("\t".join((*key, *(str(record.values[column]) for column in key))), record.line)
            if first is not None:
                raise BadFile(
                    f"{shortened(record.values[key[-1]])} is on line {first} already; leave one of the two out",
                    file=file.name,
                    line=record.line,
                    column=key[-1],
                )


def rows_by_id(session: Session, kind: Kind, batch: list[Record]) -> dict[UUID, Any]:
    columns = [kind.table.c[column.name] for column in kind.columns]
    rows = session.execute(select(*columns).where(kind.table.c.id.in_([record.values["id"] for record in batch])))
    return {row.id: row for row in rows}


def refuse_other_content(kind: Kind, file: CsvFile, record: Record, given: set[str], stored: Any) -> None:
    for column in kind.columns:
        if column.name not in given:
            continue
        ours, theirs = getattr(stored, column.name), record.values[column.name]
        if ours != theirs and not (kind is REFUNDS and column.name == "status" and moved_on(theirs, ours)):
            raise BadFile(
                f"the row with this id is in the database with {shortened(ours)}, and here it has {shortened(theirs)}; an import adds rows "
                "and changes none: write what is there, or leave the row out",
                file=file.name,
                line=record.line,
                column=column.name,
            )


def moved_on(theirs: str, ours: str) -> bool:
    """Whether a refund has gone on here from where the file knows it."""
    return theirs == RefundStatus.PENDING or {theirs, ours} == {RefundStatus.APPROVED, RefundStatus.PROCESSED}


def refuse_taken(session: Session, kind: Kind, file: CsvFile, new: list[Record]) -> None:
    """No new row may use a number that another row in the database has."""
    for key in kind.keys[1:]:
        columns = [kind.table.c[column] for column in key]
        wanted = {tuple(record.values[column] for column in key): record for record in new}
        for row in taken(session, kind, columns, list(wanted)):
            record = wanted[tuple(row)[1:]]
            raise BadFile(
                f"{shortened(record.values[key[-1]])} belongs to the row {row.id} in the database; write another, or leave the row out",
                file=file.name,
                line=record.line,
                column=key[-1],
            )


def taken(session: Session, kind: Kind, columns: list[Any], wanted: list[tuple[Any, ...]]) -> list[Any]:
    if not wanted:
        return []
    within = tuple_(*columns).in_(wanted) if len(columns) > 1 else columns[0].in_([value for (value,) in wanted])
    return list(session.execute(select(kind.table.c.id, *columns).where(within).limit(1)))


class HighestNumbers:
    """The highest refund number of each year, so that the next one the portal gives out is a new one."""

    def __init__(self) -> None:
        self.by_year: dict[int, int] = {}

    def note(self, numbers: Iterator[str]) -> None:
        for number in numbers:
            if match := NUMBERED.fullmatch(number):
                year, last = int(match[1]), int(match[2])
                self.by_year[year] = max(last, self.by_year.get(year, 0))

    def store(self, session: Session) -> None:
        for year, highest in sorted(self.by_year.items()):
            row = session.get(RefundNumber, year, with_for_update=True)
            if row is None:
                session.add(RefundNumber(year=year, last=highest))
            else:
                row.last = max(row.last, highest)
        session.flush()
