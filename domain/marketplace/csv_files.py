"""Reading import files record by record: plain or gzip'd, with the physical line of each record, in memory of one record.

Every fault of a file or a cell is a BadFile that says where it is and what to write instead.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from domain.errors import Invalid

LONGEST_LINE = 1 << 20
BOM = b"\xef\xbb\xbf"


class BadFile(Invalid):
    """`file`, `line` (the physical one where the record begins) and `column` are in `details`, None where they do not apply."""

    code = "BAD_FILE"

    def __init__(self, reason: str, *, file: str, line: int | None = None, column: str | None = None):
        place = file + (f" line {line}" if line else "") + (f", column {column}" if column else "")
        super().__init__(f"{place}: {reason}", file=file, line=line, column=column, reason=reason)


class BadCell(Exception):
    """What is wrong with a cell and what to write; whoever knows the place makes it a BadFile."""


@dataclass(frozen=True)
class Column:
    """`read` turns the text of a cell that is not empty into a value or raises BadCell."""

    name: str
    read: Callable[[str], Any]
    nullable: bool = False
    optional: bool = False  # the whole column may be missing


@dataclass
class Record:
    line: int
    values: dict[str, Any]


@dataclass
class CsvFile:
    """One file of an import. `position` is how many of its bytes on disk were read."""

    path: Path
    position: int = 0

    @property
    def name(self) -> str:
        return self.path.name

    def records(self, columns: tuple[Column, ...]) -> Iterator[Record]:
        with self.open() as stream:
            numbered = NumberedLines(stream, self.name)
            rows = csv.reader(numbered, strict=True)
            header = self.header(rows, columns)
            while True:
                line = numbered.count + 1
                row = self.next_row(rows, line)
                if row is None:
                    return
                if row:  # an empty line is no record
                    yield Record(line, self.read_row(row, header, line))

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb") as raw:
                stream: Any = gzip.GzipFile(fileobj=raw) if self.path.suffix == ".gz" else raw
                yield Tracked(self, raw, stream)  # type: ignore[misc]
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BadFile(f"it is no whole gzip file ({error}); write it anew", file=self.name) from None
        except OSError as error:
            raise BadFile(f"it cannot be read ({error.strerror}); give this user the right to", file=self.name) from None

    def header(self, rows: Iterator[list[str]], columns: tuple[Column, ...]) -> list[Column]:
        names = self.next_row(rows, 1)
        known = {column.name: column for column in columns}
        listed = ", ".join(f"[{column.name}]" if column.optional else column.name for column in columns)
        if not names:
            raise BadFile(f"there is no header row; write {listed}", file=self.name, line=1)
        for position, name in enumerate(names):
            if name not in known:
                raise BadFile(f"this column is not known; the columns are {listed}", file=self.name, line=1, column=shortened(name))
            if name in names[:position]:
                raise BadFile("this column is there twice; leave one out", file=self.name, line=1, column=name)
        for column in columns:
            if column.name not in names and not column.optional:
                raise BadFile(f"this column is missing; the columns are {listed}", file=self.name, line=1, column=column.name)
        return [known[name] for name in names]

    def next_row(self, rows: Iterator[list[str]], line: int) -> list[str] | None:
        try:
            return next(rows, None)
        except csv.Error as error:
            raise BadFile(
                f"it is not CSV from here on ({error}); put cells that hold commas, quotes or line breaks in quotes, "
                "double the quotes inside them, and end lines with LF or CRLF",
                file=self.name,
                line=line,
            ) from None

    def read_row(self, row: list[str], header: list[Column], line: int) -> dict[str, Any]:
        if len(row) != len(header):
            raise BadFile(
                f"it has {len(row)} cells, the header {len(header)}; write one for each column, in quotes where it holds a comma",
                file=self.name,
                line=line,
                column=header[min(len(row), len(header) - 1)].name,
            )
        values: dict[str, Any] = {}
        for column, cell in zip(header, row, strict=True):
            if cell:
                try:
                    values[column.name] = column.read(cell)
                except BadCell as error:
                    raise BadFile(str(error), file=self.name, line=line, column=column.name) from None
            elif column.nullable:
                values[column.name] = None
            else:
                raise BadFile("it is empty; this column needs a value in every row", file=self.name, line=line, column=column.name)
        return values


class NumberedLines:
    """The decoded lines of a stream; `count` says how many were handed out."""

    def __init__(self, stream: BinaryIO, file: str):
        self.stream, self.file, self.count = stream, file, 0

    def __iter__(self) -> NumberedLines:
        return self

    def __next__(self) -> str:
        raw = self.stream.readline(LONGEST_LINE + 1)
        if not raw:
            raise StopIteration
        if self.count == 0:
            raw = raw.removeprefix(BOM)
        self.count += 1
        if len(raw) > LONGEST_LINE:
            raise BadFile("it is longer than a megabyte; end lines with LF or CRLF", file=self.file, line=self.count)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            wrong = raw[error.start : error.end].hex(" ")
            raise BadFile(f"it is not UTF-8 (bytes {wrong}); write the file in UTF-8", file=self.file, line=self.count) from None


class Tracked:
    """A stream that notes in its file how far the bytes on disk were read."""

    def __init__(self, file: CsvFile, raw: BinaryIO, stream: BinaryIO):
        self.file, self.raw, self.stream = file, raw, stream

    def readline(self, limit: int) -> bytes:
        line = self.stream.readline(limit)
        self.file.position = self.raw.tell()
        return line


def shortened(value: object) -> str:
    """A value as a message shows it: on one line, control characters written out, and not endless."""
    text = repr(value if isinstance(value, str | int) or value is None else str(value))
    return text if len(text) <= 80 else f"{text[:76]}...{text[0]}"
