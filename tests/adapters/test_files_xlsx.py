from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consignment import Consignment
from consignment.adapters.files import Kind, Limits, ProductRows, open_product_rows
from consignment.adapters.files.cells import number_text
from consignment.domain.errors import InvalidValue, UnusableInput
from consignment.domain.product import ConsignedProduct, read_row
from tests.adapters.workbooks import (
    Raw,
    letters,
    lying_sizes,
    parts_of,
    sheet_xml,
    write_parts,
    write_workbook,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from consignment.ports.product_rows import ProductRow
    from tests.adapters.workbooks import Value

pytest.importorskip("python_calamine")

HEADER = ("number", "name", "unit", "currency", "agreed_price")
ROW = ("A-1", "苹果", "BX", "CNY", 68.8)
SHEET = "xl/worksheets/sheet1.xml"
TEXTS = "xl/sharedStrings.xml"


def _refused(path: Path, **options: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as asked
    with pytest.raises(UnusableInput) as caught:
        open_product_rows(path, **options)
    return [each.as_dict() for each in caught.value.reasons]


def _prices(rows: ProductRows) -> list[str]:
    return [row.values["agreed_price"] for row in rows]


def _codes(row: ProductRow) -> list[str]:
    if row.fault is not None:
        return [row.fault.code]
    read = read_row("green-farm", row.values)
    return [] if isinstance(read, ConsignedProduct) else [each.code for each in read]


def test_rows_of_a_sheet_are_read_as_often_as_wanted(tmp_path: Path) -> None:
    """Columns by the header, numbers from 1, lines as a person sees them in the spreadsheet."""
    second = ("A-2", "梨", "BX", "CNY", 5)
    table: dict[int, Sequence[Value]] = {2: HEADER, 3: ROW, 5: ["", None], 7: second}
    path = write_workbook(tmp_path / "a.xlsx", table)
    rows = open_product_rows(path)
    assert (rows.kind, rows.columns) == (Kind.XLSX, HEADER)
    first = list(rows)
    assert [(row.number, row.line, row.values["agreed_price"]) for row in first] == [
        (1, 3, "68.8"),
        (2, 7, "5"),
    ]
    assert [_codes(row) for row in first] == [[], []]
    assert list(rows) == first


def test_a_workbook_is_known_by_its_content(tmp_path: Path) -> None:
    """Whatever it is called; text that is called a workbook is refused."""
    path = write_workbook(tmp_path / "products.csv", [HEADER, ROW])
    assert _prices(open_product_rows(path)) == ["68.8"]
    path = write_workbook(tmp_path / "products", [HEADER, ROW])
    assert _prices(open_product_rows(path, kind="xlsx")) == ["68.8"]
    assert _refused(path, kind="csv") == [
        {"code": "format_differs", "file": "products", "format": "csv", "found": "xlsx"}
    ]
    (tmp_path / "text.xlsx").write_text("number,name")
    assert _refused(tmp_path / "text.xlsx")[0]["found"] == "text"
    with pytest.raises(InvalidValue, match="encoding_unknown"):
        open_product_rows(path, encoding="utf-8")
    (tmp_path / "empty.xlsx").write_bytes(b"")
    assert _refused(tmp_path / "empty.xlsx") == [{"code": "file_empty", "file": "empty.xlsx"}]


def _ole(*streams: str) -> bytes:
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    header[30] = 9
    header[48] = 1
    entries = b"".join(each.encode("utf-16-le").ljust(128, b"\0") for each in streams)
    return bytes(header) + bytes(512) + entries


@pytest.mark.parametrize(
    ("content", "code", "found"),
    [
        (_ole("Root Entry", "Workbook"), "format_unsupported", "xls"),
        (_ole("Root Entry", "EncryptedPackage"), "file_encrypted", None),
        (_ole()[:40], "format_unsupported", "xls"),
        (
            {"mimetype": "application/vnd.oasis.opendocument.spreadsheet"},
            "format_unsupported",
            "ods",
        ),
        ({"xl/workbook.bin": b""}, "format_unsupported", "xlsb"),
        ({"word/document.xml": ""}, "format_unsupported", "docx"),
        ({"a.txt": "x"}, "format_unsupported", "zip"),
    ],
)
def test_what_is_no_xlsx_is_told(
    tmp_path: Path, content: bytes | dict[str, Any], code: str, found: str | None
) -> None:
    """Old and other workbooks, ones with a password, and other archives."""
    path = tmp_path / "a.xlsx"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write_parts(path, content)
    (told,) = _refused(path)
    assert (told["code"], told.get("found")) == (code, found)


def test_without_the_extra_the_refusal_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is loaded only when a workbook is read."""
    path = write_workbook(tmp_path / "a.xlsx", [HEADER, ROW])
    monkeypatch.delitem(sys.modules, "consignment.adapters.files.xlsx", raising=False)
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    assert _refused(path) == [
        {
            "code": "extra_missing",
            "file": "a.xlsx",
            "format": "xlsx",
            "extra": "consignment[xlsx]",
        }
    ]


def test_the_first_sheet_that_is_seen_is_read_or_the_one_named(tmp_path: Path) -> None:
    """A hidden sheet is only read by its name; a sheet that is not there is refused."""
    parts = parts_of(
        [HEADER, ROW], name="价目 & 表", more=[("旧", "hidden"), ("更旧", "veryHidden")]
    )
    path = write_parts(tmp_path / "a.xlsx", parts)
    assert _prices(open_product_rows(path)) == ["68.8"]
    assert _prices(open_product_rows(path, sheet="价目 & 表")) == ["68.8"]
    assert _refused(path, sheet="旧") == [{"code": "file_empty", "file": "a.xlsx"}]
    assert _refused(path, sheet="无") == [
        {
            "code": "sheet_missing",
            "file": "a.xlsx",
            "sheet": "无",
            "sheets": ["旧", "更旧", "价目 & 表"],
        }
    ]
    hidden = write_parts(
        tmp_path / "b.xlsx",
        {**parts, "xl/workbook.xml": str(parts["xl/workbook.xml"]).replace("visible", "hidden")},
    )
    assert _refused(hidden)[0]["code"] == "sheet_missing"
    (tmp_path / "a.csv").write_text("number\n")
    assert _refused(tmp_path / "a.csv", sheet="价目")[0]["code"] == "sheet_missing"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (4.5, "4.5"),
        (4.6, "4.6"),
        (68.80, "68.8"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (12, "12"),
        (-0.0, "0"),
        (6901234567892, "6901234567892"),
        (999_999_999_999_999, "999999999999999"),
        ("0690", "0690"),
        ("=1+1", "=1+1"),
        (" 苹 果 ", " 苹 果 "),
        ("a&b<c>\"'", "a&b<c>\"'"),
        (True, "TRUE"),
        (False, "FALSE"),
        (date(2026, 9, 1), "2026-09-01"),
        (datetime(2026, 9, 1, 12, 30), "2026-09-01T12:30:00"),  # noqa: DTZ001 - a cell has no zone
        (Raw('<c r="{r}" s="1"><v>46000</v></c>'), "2025-12-09"),
        (Raw('<c r="{r}" t="d"><v>2026-09-01</v></c>'), "2026-09-01"),
        (Raw('<c r="{r}" s="1"><v>0.5</v></c>'), "12:00:00"),
        (Raw('<c r="{r}" s="3"><v>1.5</v></c>'), "1 day, 12:00:00"),
        (Raw('<c r="{r}"><f>1+1</f><v>2</v></c>'), "2"),
        (Raw('<c r="{r}" t="str"><f>A1</f><v>a&lt;b</v></c>'), "a<b"),
        (Raw('<c r="{r}" t="inlineStr"><is><t>=1</t></is></c>'), "=1"),
        (Raw('<c r="{r}" t="inlineStr"><is><r><t>富</t></r><r><t>文本</t></r></is></c>'), "富文本"),
        (Raw('<c r="{r}" s="2"/>'), ""),
        (Raw("<c><v>3.25</v></c>"), "3.25"),
        (Raw('<c r="{r}"><v></v></c>'), ""),
    ],
)
def test_a_cell_is_the_text_that_was_typed(tmp_path: Path, cell: Any, text: str) -> None:  # noqa: ANN401 - any cell
    """Numbers as short as they go, days as ISO, and text as it is."""
    path = write_workbook(tmp_path / "a.xlsx", [(*HEADER, "more"), (*ROW, cell)])
    (row,) = open_product_rows(path)
    assert (row.fault, row.values["more"]) == (None, text)


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (1e15, {"code": "digits_lost", "column": "more", "value": "1000000000000000.0"}),
        (1 / 3, {"code": "digits_lost", "column": "more", "value": "0.3333333333333333"}),
        (
            Raw('<c r="{r}" t="e"><v>#N/A</v></c>'),
            {"code": "cell_error", "column": "more", "value": "#N/A"},
        ),
        (Raw('<c r="{r}"><f>1+1</f></c>'), {"code": "formula_not_calculated", "column": "more"}),
        (
            Raw('<c r="{r}"><f>1+1</f><v/></c>'),
            {"code": "formula_not_calculated", "column": "more"},
        ),
        (
            Raw('<c r="{r}"><v>1e999</v></c>'),
            {"code": "digits_lost", "column": "more", "value": "inf"},
        ),
    ],
)
def test_a_cell_without_a_value_to_take_is_a_fault_of_the_row(
    tmp_path: Path,
    cell: Value,
    fault: dict[str, str],
) -> None:
    """The rows around it are read."""
    rows = [(*HEADER, "more"), ROW, (*ROW, cell), ROW]
    before, row, after = open_product_rows(write_workbook(tmp_path / "a.xlsx", rows))
    assert row.fault is not None
    assert (row.fault.as_dict(), dict(row.values)) == (fault, {})
    assert [_codes(before), _codes(after), row.line] == [[], [], 3]


def test_an_error_that_no_library_knows_is_a_fault_of_its_row(tmp_path: Path) -> None:
    """What spreadsheet programs add by and by; what stands around it is read as it is."""
    spill = Raw('<c r="{r}" t="e"><f>SORT(A:A)</f><v>#SPILL!</v></c>')
    calc = Raw('<c r="{r}" t="e" s="1"><v >#CALC!</v ><extLst/></c>')
    known = Raw('<c r="{r}" t="e"><v>#N/A</v></c>')
    rows: dict[int, Sequence[Value]] = {
        1: (*HEADER, "more", "last"),
        2: (*ROW, spill, "b"),
        3: (*ROW, "a", calc),
        4: (*ROW, "a", "b"),
        # In another band.
        5000: (*ROW, known, spill),
        5001: (*ROW, spill, spill),
        5002: (*ROW, "c", "d"),
    }
    read = list(open_product_rows(write_workbook(tmp_path / "a.xlsx", rows)))
    assert [row.fault and row.fault.as_dict() for row in read] == [
        {"code": "cell_error", "column": "more", "value": "#SPILL!"},
        {"code": "cell_error", "column": "last", "value": "#CALC!"},
        None,
        {"code": "cell_error", "column": "more", "value": "#N/A"},
        {"code": "cell_error", "column": "more", "value": "#SPILL!"},
        None,
    ]
    assert [row.line for row in read] == [2, 3, 4, 5000, 5001, 5002]
    assert [[*row.values.values()][-2:] for row in read if row.values] == [["a", "b"], ["c", "d"]]


def test_errors_without_end_are_refused(tmp_path: Path) -> None:
    """No list is kept of more of them than a sheet can have by mistake."""
    error = Raw('<c t="e"><v>#SPILL!</v></c>')
    rows: list[Sequence[Value]] = [HEADER, *[[error] * 200] * 501]
    (told,) = _refused(write_workbook(tmp_path / "a.xlsx", rows))
    assert (told["code"], told["place"]) == ("file_malformed", "商品!A502")
    kinds = [Raw(f'<c t="e"><v>#E{i}</v></c>') for i in range(1_000)]
    rows = [HEADER, *([kind] for kind in kinds)]
    (told,) = _refused(write_workbook(tmp_path / "b.xlsx", rows))
    assert told["code"] == "file_malformed"


def test_a_row_of_nothing_but_faults_is_told(tmp_path: Path) -> None:
    """It is not blank: what a program wrote that calculates no formulas would be lost unseen."""
    formula = Raw('<c r="{r}"><f>1+1</f></c>')
    error = Raw('<c r="{r}" t="e"><v>#REF!</v></c>')
    rows: list[Sequence[Value]] = [HEADER, [formula] * 5, ROW, ["", error], [None], [formula]]
    read = list(open_product_rows(write_workbook(tmp_path / "a.xlsx", rows)))
    assert [(row.number, row.line, _codes(row)) for row in read] == [
        (1, 2, ["formula_not_calculated"]),
        (2, 3, []),
        (3, 4, ["cell_error"]),
        (4, 6, ["formula_not_calculated"]),
    ]


def test_cells_beyond_the_header_are_told(tmp_path: Path) -> None:
    """As in CSV; ones that are blank do no harm. A fault there is named by its letters."""
    error = Raw('<c r="{r}" t="e"><v>#REF!</v></c>')
    rows = [HEADER, (*ROW, "x", "", 5), (*ROW, "", ""), (*ROW, None, error), ["A-2"]]
    read = list(open_product_rows(write_workbook(tmp_path / "a.xlsx", rows)))
    assert read[0].values[None] == ["x", "5"]
    assert [_codes(row) for row in read[:3]] == [["too_many_columns"], [], ["cell_error"]]
    assert read[2].fault is not None
    assert read[2].fault.details["column"] == "G"
    assert read[3].values["agreed_price"] == ""


def test_columns_are_checked_as_in_csv(tmp_path: Path) -> None:
    """Missing, repeated, unnamed; a header that is an error is no header."""
    path = write_workbook(tmp_path / "a.xlsx", [("name", "name", "", "unit", None, "")])
    assert [each["code"] for each in _refused(path)] == [
        "column_unnamed",
        "column_repeated",
        "column_missing",
        "column_missing",
    ]
    path = write_workbook(tmp_path / "b.xlsx", [(*HEADER, Raw('<c t="e"><v>#N/A</v></c>'))])
    (told,) = _refused(path)
    assert (told["code"], told["line"]) == ("header_malformed", 1)
    assert "F" in told["problem"]
    assert _refused(write_workbook(tmp_path / "c.xlsx", []))[0]["code"] == "file_empty"
    assert list(open_product_rows(write_workbook(tmp_path / "d.xlsx", [HEADER]))) == []
    shifted = write_workbook(tmp_path / "e.xlsx", [("", *HEADER)])
    assert [each["code"] for each in _refused(shifted)] == ["column_unnamed"]


def test_days_may_be_counted_from_1904(tmp_path: Path) -> None:
    """A workbook of an old Mac says so."""
    parts = parts_of([(*HEADER, "day"), (*ROW, Raw('<c r="{r}" s="1"><v>44538</v></c>'))])
    about = str(parts["xl/workbook.xml"]).replace("<sheets>", '<workbookPr date1904="1"/><sheets>')
    (row,) = open_product_rows(
        write_parts(tmp_path / "a.xlsx", {**parts, "xl/workbook.xml": about})
    )
    assert row.values["day"] == "2025-12-09"


def test_rows_and_cells_may_have_no_numbers(tmp_path: Path) -> None:
    """Then each follows the one before, also over the bands in which a sheet is read."""
    head = "".join(f'<c t="inlineStr"><is><t>{each}</t></is></c>' for each in HEADER)
    cells = "".join(f'<c t="inlineStr"><is><t>{each}</t></is></c>' for each in ROW[:4])
    rows = f"<row>{head}</row>" + f"<row>{cells}<c><v>1.5</v></c></row>" * 5000
    parts = {**parts_of([]), SHEET: sheet_xml(rows)}
    read = list(open_product_rows(write_parts(tmp_path / "a.xlsx", parts)))
    assert [(row.number, row.line) for row in read] == [(i, i + 1) for i in range(1, 5001)]
    assert {row.values["agreed_price"] for row in read} == {"1.5"}


def test_rows_far_apart_are_read(tmp_path: Path) -> None:
    """The last row that a sheet can have costs no room for those before it."""
    table: dict[int, Sequence[Value]] = {9: HEADER, 500_000: ROW, 1_048_576: ROW}
    path = write_workbook(tmp_path / "a.xlsx", table)
    assert [row.line for row in open_product_rows(path)] == [500_000, 1_048_576]


def test_prefixes_and_other_names_of_parts_are_read(tmp_path: Path) -> None:
    """As some programs write them: with prefixes, parts in upper case, absolute targets."""
    parts = parts_of([HEADER, ROW])
    sheet = str(parts[SHEET])
    for name in ("worksheet", "sheetData", "row", "c", "v"):
        sheet = sheet.replace(f"<{name}>", f"<x:{name}>").replace(f"</{name}>", f"</x:{name}>")
        sheet = sheet.replace(f"<{name} ", f"<x:{name} ")
    del parts[SHEET]
    relations = "xl/_rels/workbook.xml.rels"
    parts[relations] = str(parts[relations]).replace("worksheets/", "/XL/Worksheets/")
    parts["xl/worksheets/Sheet1.xml"] = sheet.replace("xmlns=", "xmlns:x=")
    assert _prices(open_product_rows(write_parts(tmp_path / "a.xlsx", parts))) == ["68.8"]


def test_a_changed_workbook_is_not_read_on(tmp_path: Path) -> None:
    """What was looked through is what is read, or nothing."""
    path = write_workbook(tmp_path / "a.xlsx", [HEADER, ROW])
    rows = open_product_rows(path)
    write_workbook(path, [HEADER, ROW, ROW])
    with pytest.raises(UnusableInput, match="file_changed"):
        list(rows)


# Broken ones.

_BROKEN = {
    "a row twice": '<row r="2"/><row r="2"/>',
    "rows backwards": '<row r="3"/><row r="2"/>',
    "row 0": '<row r="0"/>',
    "cells backwards": '<row r="1"><c r="B1"/><c r="A1"/></row>',
    "a cell of another row": '<row r="1"><c r="A2"/></row>',
    "a cell nowhere": '<row r="1"><c r="XFE1"/></row>',
    "a cell in lower case": '<row r="1"><c r="a1"/></row>',
    "a cell outside of rows": "<c/>",
    "a cell in a cell": '<row r="1"><c><c/></c></row>',
    "a row in a row": '<row r="1"><row r="2"/></row>',
    "a value outside": '<row r="1"><v>1</v></row>',
    "two values": '<row r="1"><c><v>1</v><v>2</v></c></row>',
    "no number": '<row r="1"><c><v>abc</v></c></row>',
    "a number with blanks": '<row r="1"><c><v> 1 </v></c></row>',
    "nan": '<row r="1"><c><v>nan</v></c></row>',
    "no shared text": '<row r="1"><c t="s"><v>99</v></c></row>',
    "a shared text that is no number": '<row r="1"><c t="s"><v>-1</v></c></row>',
    "no truth": '<row r="1"><c t="b"><v>5</v></c></row>',
    "no error": '<row r="1"><c t="e"><v>WAT!</v></c></row>',
    "an unknown type": '<row r="1"><c t="q"><v>1</v></c></row>',
    "an unknown type without value": '<row r="1"><c t="q"/></row>',
    "a comment": '<row r="1"><c><v>1<!-- x -->2</v></c></row>',
    "an instruction": '<row r="1"><?x y?></row>',
    "CDATA": '<row r="1"><c t="str"><v><![CDATA[x]]></v></c></row>',
    "not closed": '<row r="1">',
    "two tables": "</sheetData><sheetData>",
    "much between rows": " " * 1_100_000,
}


@pytest.mark.parametrize("rows", _BROKEN.values(), ids=_BROKEN.keys())
def test_a_sheet_that_is_none_is_refused(tmp_path: Path, rows: str) -> None:
    """What libraries would read in several ways, or not at all."""
    path = write_parts(tmp_path / "a.xlsx", {**parts_of([HEADER, ROW]), SHEET: sheet_xml(rows)})
    (told,) = _refused(path)
    assert told["code"] == "file_malformed"
    assert told["place"]


def test_broken_parts_are_refused(tmp_path: Path) -> None:
    """Wherever it is: around the sheet, in the texts, in the archive."""
    parts = parts_of([HEADER, ROW])
    styles = str(parts["xl/styles.xml"])
    broken: dict[str, dict[str, Any]] = {
        "sheet": {SHEET: "<worksheet/>"},
        "workbook": {"xl/workbook.xml": "<workbook"},
        "utf-16": {"xl/workbook.xml": "<?xml version='1.0' encoding='utf-16'?><workbook/>"},
        "nested": {TEXTS: "<sst><si><si/></si></sst>"},
        "style": {"xl/styles.xml": styles.replace('"14"', '"x"')},
        "format": {"xl/styles.xml": styles.replace("yyyy", "y" * 300)},
        "part": {
            "xl/_rels/workbook.xml.rels": str(parts["xl/_rels/workbook.xml.rels"]).replace(
                "sheet1", "x"
            )
        },
        "twice": {"XL/workbook.xml": b""},
    }
    for name, changes in broken.items():
        path = write_parts(tmp_path / f"{name}.xlsx", {**parts, **changes})
        assert [each["code"] for each in _refused(path)] == ["file_malformed"], name
    good = write_parts(tmp_path / "good.xlsx", parts).read_bytes()
    for name, data in {
        "cut": good[:-30],
        "head": good[:100],
        "crc": good.replace(b"PK\x01\x02", b"PK\x01\x03"),
        "shorter": lying_sizes(good, SHEET, 40),
        "longer": lying_sizes(good, SHEET, 4_000_000_000),
        "method": good.replace(b"\x08\x00", b"\x63\x00"),
    }.items():
        path = tmp_path / f"{name}.xlsx"
        path.write_bytes(data)
        try:
            rows = open_product_rows(path)
        except UnusableInput as error:
            codes = error.codes
        else:
            assert name == "longer"
            assert _prices(rows) == ["68.8"]
            continue
        assert codes == ("file_malformed",), name
    encrypted = bytearray(good)
    for signature, at_flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := good.find(signature, at + 1)) >= 0:
            encrypted[at + at_flags] |= 1
    (tmp_path / "locked.xlsx").write_bytes(encrypted)
    assert _refused(tmp_path / "locked.xlsx")[0]["code"] == "file_encrypted"


@settings(deadline=None)  # files are written
@given(st.integers(0, 5000), st.binary(min_size=1, max_size=4))
def test_any_bytes_are_rows_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, data: bytes
) -> None:
    """Whatever is written over a workbook, it is read, or refused before the first row."""
    path = tmp_path_factory.getbasetemp() / "any.xlsx"
    good = write_workbook(path, [HEADER, ROW, ROW]).read_bytes()
    at %= len(good)
    path.write_bytes(good[:at] + data + good[at + len(data) :])
    try:
        rows = open_product_rows(path, kind="xlsx")
    except UnusableInput:
        return
    for row in rows:
        assert isinstance(_codes(row), list)


# Hostile ones. Each is refused by the cap that it exceeds, and takes little memory meanwhile.

_MEASURE = """
import json, sys
from consignment.adapters.files import open_product_rows
from consignment.domain.errors import UnusableInput
told, count = [], None
try:
    count = sum(1 for _ in open_product_rows(sys.argv[1]))
except UnusableInput as error:
    told = [each.as_dict() for each in error.reasons]
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([told, int(peak.split()[1]) // 1024, count]))
"""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of a process's memory is read in /proc"
)


def _measured(path: Path) -> tuple[list[dict[str, Any]], int, int | None]:
    """Open a file in a process of its own: reasons, peak of its memory in MiB, rows."""
    # What measures the tests' coverage is not to be measured with it.
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-c", _MEASURE, str(path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120, env=bare)
    told, peak_mib, count = json.loads(done.stdout)
    return told, peak_mib, count


def _repeated(head: str, body: str, times: int, foot: str) -> Iterator[bytes]:
    yield head.encode()
    many = (body * 1000).encode()
    for _ in range(times // 1000):
        yield many
    yield foot.encode()


_HEAD, _FOOT = sheet_xml("|").split("|")
_LAUGHS = (
    "<!DOCTYPE l ["
    '<!ENTITY a "ha">'
    + "".join(
        map(
            '<!ENTITY {1} "&{0};&{0};&{0};&{0};&{0};">'.format,
            "abcdefgh",
            "bcdefghi",
        )
    )
    + "]>"
)
_QUADRATIC = f'<!DOCTYPE l [<!ENTITY a "{"x" * 100_000}">]>'
_HOSTILE: dict[str, tuple[dict[str, Any], str, str]] = {
    # 310 KB and less that unpack to hundreds of megabytes.
    "blanks": ({SHEET: (_HEAD.encode(), *[b" " * 1_000_000] * 300)}, "file_malformed", ""),
    "cells": (
        {SHEET: lambda: _repeated(_HEAD, f"<row>{'<c><v>1</v></c>' * 99}</row>", 30_000, _FOOT)},
        "limit_exceeded",
        "ratio",
    ),
    "texts": (
        {TEXTS: lambda: _repeated("<sst>", "<si><t>x</t></si>", 1_000_000, "</sst>")},
        "limit_exceeded",
        "ratio",
    ),
    "about": (
        {"xl/styles.xml": lambda: _repeated("<x>", "<y/>", 100_000_000, "</x>")},
        "limit_exceeded",
        "about_bytes",
    ),
    # What an allocation is made of: the table's own figure ended the process.
    "a table that lies": (
        {TEXTS: f'<sst uniqueCount="4000000000">{"<si/>" * 9}</sst>'},
        "column_unnamed",
        "",
    ),
    "a sheet that lies": (
        {
            SHEET: sheet_xml("").replace(
                "<sheetData>", '<dimension ref="A1:XFD1048576"/><sheetData>'
            )
        },
        "file_empty",
        "",
    ),
    # A grid from here to there.
    "a far cell": (
        {
            SHEET: sheet_xml(
                '<row r="1"><c r="A1"><v>1</v></c></row>'
                '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
            )
        },
        "limit_exceeded",
        "columns",
    ),
    "a far row": (
        {SHEET: sheet_xml('<row r="4000000000"><c><v>1</v></c></row>')},
        "limit_exceeded",
        "rows",
    ),
    # One text of the greatest length, a million times.
    "references": (
        {
            TEXTS: f"<sst><si><t>{'x' * 32_767}</t></si></sst>",
            SHEET: sheet_xml('<row><c t="s"><v>0</v></c><c t="s"><v>0</v></c></row>' * 250_000),
        },
        "limit_exceeded",
        "text_characters",
    ),
    "a long text": (
        {TEXTS: f"<sst><si><t>{'x' * 32_768}</t></si></sst>"},
        "limit_exceeded",
        "cell_characters",
    ),
    "a long value": (
        {SHEET: sheet_xml(f"<row><c><v>{'1' * 5_000_000}</v></c></row>")},
        "limit_exceeded",
        "cell_characters",
    ),
    "depth": ({SHEET: sheet_xml("<a>" * 100_000)}, "limit_exceeded", "depth"),
    "depth of a text": (
        {SHEET: sheet_xml("<row><c><is>" + "<t>" * 100_000)},
        "limit_exceeded",
        "depth",
    ),
    "depth of texts": ({TEXTS: "<sst><si>" + "<r>" * 100_000}, "limit_exceeded", "depth"),
    "a long tag": ({SHEET: sheet_xml(f'<row a="{"x" * 7_000_000}"/>')}, "file_malformed", ""),
    "many attributes": (
        {SHEET: sheet_xml("<row " + " ".join(f'a{i}="x"' for i in range(500_000)) + "/>")},
        "file_malformed",
        "",
    ),
    "laughs": ({TEXTS: _LAUGHS + "<sst><si><t>&i;</t></si></sst>"}, "file_malformed", ""),
    "quadratic": (
        {SHEET: _QUADRATIC + sheet_xml("<row><c><v>" + "&a;" * 50_000)},
        "file_malformed",
        "",
    ),
    "entries": ({f"x/{i}": b"" for i in range(2_001)}, "limit_exceeded", "entries"),
}


@needs_proc
@pytest.mark.parametrize("name", _HOSTILE)
def test_a_hostile_workbook_takes_little_memory(tmp_path: Path, name: str) -> None:
    """It is refused by the cap that it exceeds, with the figure and the place."""
    changes, code, cap = _HOSTILE[name]
    changes = {
        part: content() if callable(content) else content for part, content in changes.items()
    }
    path = write_parts(tmp_path / "a.xlsx", {**parts_of([HEADER, ROW]), **changes})
    told, peak_mib, _ = _measured(path)
    assert {each["code"] for each in told} == {code} | (
        {"column_missing"} if "column" in code else set()
    )
    assert told[0].get("cap", "") == cap
    if cap:
        assert told[0]["found"] > told[0]["limit"] == getattr(Limits(), cap)
        assert told[0]["place"]
    assert peak_mib < 120


@needs_proc
def test_a_directory_without_end_is_not_loaded(tmp_path: Path) -> None:
    """Each entry of it would be an object: it is measured first."""
    good = write_workbook(tmp_path / "a.xlsx", [HEADER, ROW]).read_bytes()
    at = good.index(b"PK\x01\x02")
    end = good.index(b"PK\x05\x06")
    entry = good[at : at + 46 + len("[Content_Types].xml")]
    many = entry * 1_000_000
    trailer = bytearray(good[end:])
    trailer[12:16] = len(many).to_bytes(4, "little")
    path = tmp_path / "b.xlsx"
    path.write_bytes(good[:at] + many + trailer)
    told, peak_mib, _ = _measured(path)
    assert [(each["code"], each["cap"]) for each in told] == [("limit_exceeded", "entries")]
    assert peak_mib < 120


@needs_proc
def test_a_large_workbook_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """Six thousand rows of forty columns, of which one band is held."""
    cells = "".join(f'<c r="{letters(i)}{{n}}"><v>1.25</v></c>' for i in range(6, 40))
    head = "".join(
        f'<c r="{letters(i)}1" t="inlineStr"><is><t>{name}</t></is></c>'
        for i, name in enumerate((*HEADER, *(f"x{j}" for j in range(6, 40))), start=1)
    )

    def sheet() -> Iterator[bytes]:
        yield f'{_HEAD}<row r="1">{head}</row>'.encode()
        for n in range(2, 6_002):
            texts = f'<c r="B{n}" t="s"><v>0</v></c><c r="C{n}" t="s"><v>0</v></c>'
            yield f'<row r="{n}">{texts}{cells.replace("{n}", str(n))}</row>'.encode()
        yield _FOOT.encode()

    parts = {**parts_of([HEADER, ROW]), SHEET: sheet()}
    told, peak_mib, count = _measured(write_parts(tmp_path / "a.xlsx", parts))
    assert (told, count) == ([], 6_000)
    assert peak_mib < 120


def test_the_desk_opens_a_sheet_with_caps(tmp_path: Path) -> None:
    """By its name, and with other caps than the usual."""
    path = write_parts(tmp_path / "a.xlsx", parts_of([HEADER, ROW], more=[("a", "visible")]))
    (row,) = Consignment.product_rows(path, sheet="商品", limits=Limits(rows=2))
    assert row.values["number"] == ROW[0]
    with pytest.raises(UnusableInput) as caught:
        Consignment.product_rows(path, sheet="商品", limits=Limits(rows=1))
    assert caught.value.reasons[0].as_dict()["cap"] == "rows"


def test_caps_are_settings(tmp_path: Path) -> None:
    """A smaller one refuses more, with the figure that was found."""
    path = write_workbook(tmp_path / "a.xlsx", [HEADER, ROW, ROW])
    assert _refused(path, limits=Limits(rows=2)) == [
        {
            "code": "limit_exceeded",
            "file": "a.xlsx",
            "cap": "rows",
            "limit": 2,
            "found": 3,
            "place": "商品!3",
        }
    ]
    assert _refused(path, limits=Limits(columns=4))[0]["place"] == "商品!E1"
    assert _refused(path, limits=Limits(entries=3))[0]["cap"] == "entries"
    assert _refused(path, limits=Limits(text_characters=10))[0]["cap"] == "text_characters"
    assert _refused(path, limits=Limits(unpacked_bytes=99))[0]["cap"] == "unpacked_bytes"
    assert _refused(path, limits=Limits(shared_texts=8))[0]["found"] == 9
    assert _refused(path, limits=Limits(shared_bytes=99))[0]["place"] == TEXTS
    with pytest.raises(ValueError, match="columns"):
        Limits(columns=0)


# The same rows in every format.

_LABEL = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=6)
_DAY = st.dates(date(1990, 1, 1), date(2100, 1, 1))
_RECORD = st.fixed_dictionaries(
    {
        "number": _LABEL,
        "name": _LABEL,
        "unit": st.sampled_from(["BX", "KGM", "箱"]),
        "unit_places": st.none() | st.integers(0, 6),
        "currency": st.sampled_from(["CNY", "USD"]),
        "agreed_price": st.decimals(0, 10**9, places=2, allow_nan=False),
        "gtin": st.none() | st.sampled_from([6901234567892, 96385074]),
        "on_sale_from": st.none() | _DAY,
        "origin": st.none() | _LABEL,
    }
)


@example(
    [
        dict.fromkeys(("unit_places", "gtin", "on_sale_from", "origin"), None)
        | {
            "number": "=1",
            "name": "_x0041_",
            "unit": "BX",
            "currency": "CNY",
            "agreed_price": 0,
        }
    ]
)
@settings(deadline=None)  # files are written
@given(st.lists(_RECORD, min_size=1, max_size=5))
def test_the_same_rows_are_the_same_products_in_every_format(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    """CSV, JSON Lines, XLSX and Parquet: typed values there, text here."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    base = tmp_path_factory.getbasetemp()
    columns = list(records[0])
    texts = [{k: "" if v is None else str(v) for k, v in each.items()} for each in records]
    with (base / "same.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(texts)
    (base / "same.jsonl").write_text("".join(json.dumps(each) + "\n" for each in texts), "utf-8")
    typed = [
        [float(each[k]) if k == "agreed_price" else _escaped(each[k]) for k in columns]
        for each in records
    ]
    write_workbook(base / "same.xlsx", [columns, *typed])
    pq.write_table(
        pa.Table.from_pylist(
            records,
            pa.schema(
                {
                    **dict.fromkeys(columns, pa.string()),
                    "unit_places": pa.int32(),
                    "agreed_price": pa.decimal128(38, 4),
                    "gtin": pa.int64(),
                    "on_sale_from": pa.date32(),
                }
            ),
        ),
        base / "same.parquet",
    )
    read = [
        [read_row("green-farm", row.values) for row in open_product_rows(base / f"same.{kind}")]
        for kind in ("csv", "jsonl", "xlsx", "parquet")
    ]
    assert len(read[0]) == len(records)
    assert all(each == read[0] for each in read)


def _escaped(value: object) -> Any:  # noqa: ANN401 - any cell
    """Spreadsheets escape what would be an escape of theirs."""
    return value.replace("_x", "_x005F_x") if isinstance(value, str) else value


@given(st.decimals(-(10**9), 10**9, places=6, allow_nan=False))
def test_a_number_is_the_decimal_that_was_typed(typed: Any) -> None:  # noqa: ANN401 - a Decimal
    """Up to fifteen digits come back; there is no exponent."""
    text = number_text(float(typed))
    assert text is not None
    assert "e" not in text.lower()
    assert float(text) == float(typed)
    assert len(text.replace("-", "").replace(".", "")) <= 17
    digits = f"{typed:f}".rstrip("0").removesuffix(".")
    assert text == ("0" if digits in ("-0", "") else digits)
