"""Hostile texts stay texts, numbers stay numbers, and what is written is read back by another reader as it was."""

import csv
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from xml.etree import ElementTree

import openpyxl
import pytest
from openpyxl.utils.escape import unescape

from adapters.spreadsheets import LONGEST_CELL, XlsxFile, make_spreadsheet

STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠"]
BEHIND = [" ", "\u00a0", "\u3000", "\ufeff", "\u200b", "  \t"]
HOSTILE = [
    *(f"{start}1+1|cmd" for start in STARTS),
    *(f"{space}=1+1" for space in BEHIND),
    '=HYPERLINK("https://evil.example","click")',
    '=cmd|"/c calc"!A1',
    "<r></t></is></c><c r='Z9'><f>1+1</f></c></r>",
    "<r><t>rich</t></r>",
    "<script>alert(1)</script>",
    'quo"ted, and\r\non two lines',
    "_x0041_ and _x000D_",
    "\x01\x02\x08\x0b\x0c\x1f\x7f\x85 controls",
    "half \ud800 a pair, and none \udfff",
    "\ufffe\uffff",
    "שלום \u202e txt.exe",
    "नमस्ते 👩‍👩‍👧 ₹",
    "x" * 10_000,
    "😀" * 20_000,
    "{=1+1}",
    "https://evil.example/=1",
    "mailto:a@b.example",
    "internal:Sheet2!A1",
    "]]>&amp;<!--",
    " ",
]


def make(tmp_path, format, rows, header=("a", "b"), check=lambda: None):
    file = tmp_path / f"result.{format}"
    with make_spreadsheet(format, file, header, "Refunds", check) as sheet:
        sheet.write(rows)
    return file


def csv_rows(file):
    return list(csv.reader(file.read_bytes().decode("utf-8-sig").splitlines(keepends=True)))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_cell_of_csv_begins_as_a_formula(tmp_path, text):
    file = make(tmp_path, "csv", [(text, 1)])
    with file.open(encoding="utf-8-sig", newline="") as lines:
        [_, (cell, number)] = csv.reader(lines)
    assert cell.lstrip(" \u00a0\u3000\ufeff\u200b\t\r\n\0")[:1] not in set("=+-@＝＋－＠")
    assert cell[:1] not in set("\t\r\n\0")
    assert number == "1"
    assert cell.removeprefix("'") == text.replace("\0", "\ufffd").replace("\ud800", "\ufffd").replace("\udfff", "\ufffd")


def test_csv_is_rfc_4180_with_a_byte_order_mark(tmp_path):
    content = make(tmp_path, "csv", [('a "b"', "c,d"), ("two\nlines", None)]).read_bytes()
    assert content == b'\xef\xbb\xbfa,b\r\n"a ""b""","c,d"\r\n"two\nlines",\r\n'


def test_values_of_every_kind_in_csv(tmp_path):
    moment = datetime(2025, 10, 31, 23, 59, 59, 999999, UTC)
    file = make(tmp_path, "csv", [(-5, Decimal("-5.50")), (10**18, Decimal(10**18).scaleb(-2)), (True, moment), (Decimal("1E+3"), None)])
    assert csv_rows(file)[1:] == [
        ["-5", "-5.50"],
        ["1000000000000000000", "10000000000000000.00"],
        ["true", "2025-10-31T23:59:59Z"],
        ["1000", ""],
    ]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_every_text_is_a_text_in_xlsx(tmp_path, text):
    file = make(tmp_path, "xlsx", [(text, 7)])
    sheet = sheet_of(file)
    cells = list(sheet.iter(f"{{{MAIN}}}c"))
    assert sheet.find(f".//{{{MAIN}}}f") is None
    assert [cell.get("r") for cell in cells] == ["A1", "B1", "A2", "B2"]
    assert cells[2].get("t") == "inlineStr"
    [_, (cell, number)] = openpyxl.load_workbook(file).active.iter_rows()
    assert cell.data_type == "s"
    assert number.value == 7
    value = unescape(cell.value)  # as Excel does with _xHHHH_, and openpyxl only in shared strings
    assert value == readable(text) or value.endswith("…")
    assert len(cell.value.encode("utf-16-le")) <= 2 * LONGEST_CELL


def readable(text):
    kept = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        c for c in kept if c in "\t\n" or not (c < " " or "\x7f" <= c < "\xa0" or "\ud800" <= c <= "\udfff" or c in "\ufffe\uffff")
    )


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def sheet_of(file, number=1):
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        return ElementTree.fromstring(archive.read(f"xl/worksheets/sheet{number}.xml"))


def test_values_of_every_kind_in_xlsx(tmp_path):
    moment = datetime(2025, 10, 31, tzinfo=UTC)
    rows = [(-5, Decimal("-5.50")), (10**18, Decimal(10**18).scaleb(-2)), (True, moment), (Decimal("84.250"), None)]
    book = openpyxl.load_workbook(make(tmp_path, "xlsx", rows))
    values = [[cell.value for cell in row] for row in book.active.iter_rows(min_row=2)]
    assert values == [[-5, -5.5], ["1000000000000000000", "10000000000000000.00"], [True, "2025-10-31T00:00:00Z"], [84.25, None]]
    assert (book.active["B2"].number_format, book.active["A5"].number_format) == ("0.00", "0.000")
    assert book.active.title == "Refunds"


def test_an_export_without_rows_has_its_header(tmp_path):
    assert csv_rows(make(tmp_path, "csv", [])) == [["a", "b"]]
    assert [[cell.value for cell in row] for row in openpyxl.load_workbook(make(tmp_path, "xlsx", [])).active.iter_rows()] == [["a", "b"]]


def test_a_full_sheet_is_followed_by_another_under_the_same_header(tmp_path):
    file = tmp_path / "result.xlsx"
    with XlsxFile(file, ("n",), "Refunds", lambda: None, rows_on_a_sheet=4) as sheet:
        sheet.write([(number,) for number in range(7)])
    book = openpyxl.load_workbook(file)
    assert {each.title: [row[0].value for row in each.iter_rows()] for each in book} == {
        "Refunds": ["n", 0, 1, 2],
        "Refunds 2": ["n", 3, 4, 5],
        "Refunds 3": ["n", 6],
    }


class Enough(Exception):
    pass


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_it_stops_while_rows_are_written(tmp_path, format):
    asked = iter(range(3))

    def check():
        if next(asked, None) is None:
            raise Enough

    with pytest.raises(Enough):
        make(tmp_path, format, ((number, "text") for number in range(10_000)), check=check)


@pytest.mark.parametrize("after", [1, 2, 5, 12])
def test_it_stops_while_the_workbook_is_put_together(tmp_path, after):
    asked = iter(range(after))
    rows = [(number, f"text {number}" * 20) for number in range(20_000)]

    def check():
        if next(asked, None) is None:
            raise Enough

    file = tmp_path / "result.xlsx"
    with pytest.raises(Enough), XlsxFile(file, ("n", "text"), "Refunds", lambda: None) as sheet:
        sheet.write(rows)
        sheet.check = sheet.sheet.check = sheet.target.check = check
