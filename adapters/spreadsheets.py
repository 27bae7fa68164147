"""Writing rows as CSV or XLSX, one at a time and in little memory, so that no cell is ever taken for a formula.

Texts come from customers. A spreadsheet runs what begins with = + - @ (or with a tab, a line break, NUL, or one of their full-width
twins), so in CSV such a cell gets an apostrophe in front; in XLSX a text is stored as a text. Numbers stay numbers in both.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Protocol, Self

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from domain.exports.cells import Cell

LIVE = re.compile(r"[\t\r\n\x00]|[\s\x00-\x20\ufeff\u200b-\u200f\u2060-\u2064]*[=+\-@＝＋－＠]")
NOT_IN_CSV = re.compile("[\x00\ud800-\udfff]")
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
LINE_BREAK = re.compile("\r\n?")

ROWS_ON_A_SHEET = 1_048_576
LONGEST_CELL = 32_767  # in UTF-16 units, as Excel counts
EXACT_DIGITS = 15  # a spreadsheet's numbers are floats: what is longer is written as text
CHECKED_EVERY = 200


class Spreadsheet(Protocol):
    """`with make_spreadsheet(...) as sheet: sheet.write(rows)`; the file is whole once the block has ended without an error."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None: ...

    def write(self, rows: Iterable[Sequence[Cell]]) -> None: ...


def make_spreadsheet(format: str, file: Path, header: Sequence[str], name: str, check: Callable[[], object]) -> Spreadsheet:
    """`check` is called again and again while it works, and may raise to stop it; what is there of the file is then worth nothing."""
    return XlsxFile(file, header, name, check) if format == "xlsx" else CsvFile(file, header, check)


class CsvFile:
    """RFC 4180 in UTF-8, with the byte order mark by which Excel knows that it is."""

    def __init__(self, file: Path, header: Sequence[str], check: Callable[[], object]):
        self.check = check
        self.file = file.open("w", encoding="utf-8-sig", newline="", buffering=1024 * 1024)
        self.lines = csv.writer(self.file)
        self.lines.writerow(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, rows: Iterable[Sequence[Cell]]) -> None:
        for number, row in enumerate(rows):
            if number % CHECKED_EVERY == 0:
                self.check()
            self.lines.writerow([plain(cell) for cell in row])


def plain(cell: Cell) -> object:
    if isinstance(cell, str):
        return safe(cell)
    if isinstance(cell, Decimal):
        return f"{cell:f}"  # never 1E+3
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return moment(cell) if isinstance(cell, datetime) else cell


def safe(text: str) -> str:
    """The text as a cell of CSV that no program runs."""
    guarded = f"'{text}" if LIVE.match(text) else text
    return NOT_IN_CSV.sub("\ufffd", guarded)


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class XlsxFile:
    """Rows go to the disk as they come; a sheet that is full is followed by another, each under the same header."""

    def __init__(self, file: Path, header: Sequence[str], name: str, check: Callable[[], object], rows_on_a_sheet: int = ROWS_ON_A_SHEET):
        self.check, self.header, self.name, self.limit = check, header, name, rows_on_a_sheet
        self.target = Checked(file, check)
        settings = {"constant_memory": True, "tmpdir": str(file.parent), "use_zip64": True}
        self.book = Workbook(self.target, settings)
        self.bold = self.book.add_format({"bold": True})
        self.places = {digits: self.book.add_format({"num_format": "0." + "0" * digits if digits else "0"}) for digits in range(5)}
        self.begin_sheet()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self.book.close()
        finally:
            for sheet in self.book.worksheets():
                sheet._opt_close()
                if sheet.fh is not None:
                    sheet.fh.close()
            self.target.close()

    def begin_sheet(self) -> None:
        number = len(self.book.worksheets()) + 1
        self.sheet: Any = self.book.add_worksheet(f"{self.name} {number}" if number > 1 else self.name, TextSheet)
        self.sheet.check = self.check
        self.sheet.freeze_panes(1, 0)
        self.sheet.set_column(0, len(self.header) - 1, 18)
        for column, title in enumerate(self.header):
            self.sheet.write_string(0, column, title, self.bold)
        self.row = 1

    def write(self, rows: Iterable[Sequence[Cell]]) -> None:
        for number, row in enumerate(rows):
            if number % CHECKED_EVERY == 0:
                self.check()
            if self.row == self.limit:
                self.begin_sheet()
            for column, cell in enumerate(row):
                if cell is not None and cell != "":
                    self.write_cell(column, cell)
            self.row += 1

    def write_cell(self, column: int, cell: Cell) -> None:
        sheet, row = self.sheet, self.row
        if isinstance(cell, str):
            sheet.write_string(row, column, writable(cell))
        elif isinstance(cell, bool):
            sheet.write_boolean(row, column, cell)
        elif isinstance(cell, datetime):
            sheet.write_string(row, column, moment(cell))
        elif isinstance(cell, Decimal):
            _, digits, exponent = cell.as_tuple()
            if len(digits) > EXACT_DIGITS:
                sheet.write_string(row, column, f"{cell:f}")
            else:
                sheet.write_number(row, column, float(cell), self.places.get(-int(exponent)))
        elif isinstance(cell, int):
            if abs(cell) < 10**EXACT_DIGITS:
                sheet.write_number(row, column, cell)
            else:
                sheet.write_string(row, column, str(cell))


def writable(text: str) -> str:
    """The text without what XML cannot hold, and cut, visibly, where it is longer than a cell can be."""
    text = NOT_IN_XML.sub("", LINE_BREAK.sub("\n", text))
    if len(text) * 2 > LONGEST_CELL and len(encoded := text.encode("utf-16-le")) > 2 * LONGEST_CELL:
        return encoded[: 2 * (LONGEST_CELL - 1)].decode("utf-16-le", "ignore") + "…"
    return text


class Checked:
    """The file that the finished workbook is written to; asks at each write whether to go on."""

    def __init__(self, path: Path, check: Callable[[], object]):
        self.file: IO[bytes] = path.open("w+b")
        self.check = check

    def write(self, content: bytes) -> int:
        try:
            self.check()
        except BaseException:
            self.close()
            raise
        return self.file.write(content)

    def close(self) -> None:
        """What a half-written archive still wants to add when it is collected goes nowhere."""
        self.file.close()
        self.file, self.check = BytesIO(), bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class TextSheet(Worksheet):
    """A sheet on which every text is a text."""

    check: Callable[[], object]
    row_data_fh: Any

    def _xml_rich_inline_string(self, string: str, attributes: Any = None) -> None:
        """XlsxWriter takes a text that begins with <r> and ends with </r> for XML of its own, and would write a customer's markup
        into the file as it is. No rich text is ever written here, so what arrives is a text like any other."""
        self._xml_inline_string(string, True, attributes)

    def _write_optimized_sheet_data(self) -> None:
        """Copies all rows into the sheet's file, which takes seconds for a million of them."""
        if self.row_data_fh is not None:
            self.row_data_fh = Asking(self.row_data_fh, self.check)
        super()._write_optimized_sheet_data()


class Asking:
    """A file that asks at each read whether to go on."""

    def __init__(self, file: Any, check: Callable[[], object]):
        self.file, self.check = file, check

    def read(self, size: int) -> Any:
        self.check()
        return self.file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
