"""Exports: the rows into a file, the file into storage."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

from adapters.spreadsheets import make_spreadsheet
from domain.db import read_only
from domain.errors import DomainError
from domain.exports.making import READ_AT_ONCE, Export, prepare, record_finished, stored_name
from domain.jobs.outcomes import Again, Done, Failed, Outcome, ResultFile
from domain.storage import StorageError
from tasks.work import Work

TRIES_OF_STORAGE = 5
WRITTEN = 95  # per cent; the rest is closing the file and storing it


def make_export(work: Work) -> Outcome:
    try:
        with read_only(), work.context.sessions() as session:
            export = prepare(session, work.job)
    except DomainError as error:
        return Failed(error.code, error.message)
    keys = work.folder / "keys"
    total = find_rows(work, export, keys)
    file = work.folder / f"result.{export.request.format}"
    rows = write_rows(work, export, keys, total, file)
    return keep(work, export, file, rows)


def find_rows(work: Work, export: Export, keys: Path) -> int:
    """Write the ids of all rows to a file, 16 bytes each, so that they are counted, and read in one order, without a long transaction."""
    total = 0
    work.progress(0, "Counting rows")
    with keys.open("wb") as file, read_only(), work.context.sessions() as session:
        for ids in export.keys(session):
            work.check()
            file.write(b"".join(id.bytes for id in ids))
            total += len(ids)
    return total


def write_rows(work: Work, export: Export, keys: Path, total: int, file: Path) -> int:
    """Read the rows piece by piece, each in a transaction of its own, and write them."""
    seen = written = 0
    with make_spreadsheet(export.request.format, file, export.header, export.request.report_type.title(), work.check) as sheet:
        for ids in pieces(keys):
            work.check()
            with read_only(), work.context.sessions() as session:
                rows = export.rows(session, ids)
            sheet.write(rows)
            seen, written = seen + len(ids), written + len(rows)
            work.progress(WRITTEN * seen / total, f"{seen:,} of {total:,} rows")
    return written


def pieces(keys: Path) -> Iterator[list[UUID]]:
    with keys.open("rb") as file:
        while piece := file.read(16 * READ_AT_ONCE):
            yield [UUID(bytes=piece[at : at + 16]) for at in range(0, len(piece), 16)]


def keep(work: Work, export: Export, file: Path, rows: int) -> Outcome:
    work.check()
    result: dict[str, object] = {"rows": rows, "bytes": file.stat().st_size, "report_type": str(export.request.report_type)}
    stored = stored_name(work.job)
    assert stored is not None
    try:
        work.context.storage.save(stored, file)
    except StorageError as error:
        if work.job.attempts < TRIES_OF_STORAGE:
            return Again(min(5.0 * 2**work.job.attempts, 60.0), str(error))
        return Failed("STORAGE_UNAVAILABLE", str(error))
    return Done(
        result,
        ResultFile(stored, export.request.file_name, export.request.media_type),
        then=partial(record_finished, job=work.job, export=export, result=result),
    )
