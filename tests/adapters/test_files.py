from __future__ import annotations

import codecs
import csv
import json
import os
import tracemalloc
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consignment.adapters.files import ProductRows, open_product_rows
from consignment.adapters.files.scan import MAX_LINE_BYTES
from consignment.domain.errors import InvalidValue, UnusableInput
from consignment.domain.product import ConsignedProduct, read_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from consignment.ports.product_rows import ProductRow

AKSU = Path(__file__).parents[2] / "examples" / "aksu" / "products.csv"
HEADER = "number,name,unit,currency,agreed_price\n"
ROW = "A-1,苹果,BX,CNY,68.80\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file and give its path."""

    def write(content: str | bytes, name: str = "products.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def _refused(
    path: Path, *, encoding: str | None = None, kind: str | None = None
) -> list[dict[str, Any]]:
    with pytest.raises(UnusableInput) as caught:
        open_product_rows(path, encoding=encoding, kind=kind)
    return [each.as_dict() for each in caught.value.reasons]


def _names(rows: ProductRows) -> list[str]:
    return [row.values["name"] for row in rows]


def _codes(row: ProductRow) -> list[str]:
    if row.fault is not None:
        return [row.fault.code]
    read = read_row("green-farm", row.values)
    return [] if isinstance(read, ConsignedProduct) else [each.code for each in read]


def test_the_worked_example_is_read_as_often_as_wanted() -> None:
    """Three rows, numbered from 1, with the line on which each begins."""
    rows = open_product_rows(AKSU)
    assert rows.encoding == "utf-8"
    assert rows.columns[:3] == ("number", "name", "unit")
    first = list(rows)
    assert [(row.number, row.line, row.values["name"]) for row in first] == [
        (1, 2, "阿克苏冰糖心苹果 5kg"),
        (2, 3, "若羌红枣 1kg"),
        (3, 4, "温宿薄皮核桃 1kg"),
    ]
    assert [_codes(row) for row in first] == [[], [], []]
    assert list(rows) == first


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ((HEADER + ROW).encode(), "utf-8"),
        (codecs.BOM_UTF8 + (HEADER + ROW).encode(), "utf-8"),
        ((HEADER + ROW).encode("gb18030"), "gb18030"),
        (("\ufeff" + HEADER + ROW).encode("gb18030"), "gb18030"),
        ((HEADER + ROW).replace("\n", "\r\n").encode(), "utf-8"),
        ((HEADER + ROW).replace("\n", "\r").encode(), "utf-8"),
        (("\n\n" + HEADER + "\n\n" + ROW + "\n").encode(), "utf-8"),
    ],
)
def test_the_encoding_is_found_out(
    write: Callable[..., Path], content: bytes, encoding: str
) -> None:
    """UTF-8 with or without a mark, GB 18030 likewise, and every kind of line end."""
    rows = open_product_rows(write(content))
    assert rows.encoding == encoding
    assert rows.columns[0] == "number"
    assert _names(rows) == ["苹果"]


def test_the_encoding_can_be_said(write: Callable[..., Path]) -> None:
    """Then it is that one, or the file is refused."""
    path = write((HEADER + ROW).encode("gbk"))
    assert _names(open_product_rows(path, encoding="GBK")) == ["苹果"]
    # The first two bytes happen to be a character in UTF-8.
    offset = len(HEADER) + 6
    assert _refused(path, encoding="utf_8") == [
        {
            "code": "wrong_encoding",
            "file": "products.csv",
            "line": 2,
            "offset": offset,
            "encoding": "utf-8",
        }
    ]
    with pytest.raises(InvalidValue, match="encoding_unknown"):
        open_product_rows(path, encoding="latin-1")
    with pytest.raises(InvalidValue, match="encoding_unknown"):
        open_product_rows(write("{}", "products.jsonl"), encoding="gbk")


def test_a_file_in_no_known_encoding_is_refused(write: Callable[..., Path]) -> None:
    """With line and offset for each encoding that was tried, also across blocks of reading."""
    rows = (HEADER + ROW * 100_000).encode()
    reasons = _refused(write(rows + b"A-2,\xff\xff,BX,CNY,1\n"))
    assert [(each["code"], each["encoding"]) for each in reasons] == [
        ("wrong_encoding", "utf-8"),
        ("wrong_encoding", "gb18030"),
    ]
    assert reasons[0]["line"] == 100_002
    assert reasons[0]["offset"] == len(rows) + 4
    assert _refused(write((HEADER + ROW).encode("utf-16")))[0]["found"] == "utf-16"
    (cut,) = _refused(write(codecs.BOM_UTF8 + HEADER.encode() + "苹".encode()[:2]))
    assert (cut["line"], cut["offset"]) == (2, 3 + len(HEADER))


def test_every_column_that_is_wrong_is_named(write: Callable[..., Path]) -> None:
    """Missing, repeated and unnamed ones, all at once."""
    reasons = _refused(write("number,name,name,, \n1,2,3,4,5\n"))
    assert [(each["code"], each.get("column", each.get("position"))) for each in reasons] == [
        ("column_unnamed", 4),
        ("column_unnamed", 5),
        ("column_repeated", "name"),
        ("column_missing", "unit"),
        ("column_missing", "currency"),
        ("column_missing", "agreed_price"),
    ]
    assert reasons[-1]["found"] == ["number", "name", "name", "", " "]


@pytest.mark.parametrize("content", [b"", codecs.BOM_UTF8, b"\n\n\r\n"])
def test_an_empty_file_is_refused(write: Callable[..., Path], content: bytes) -> None:
    """Also when it has a mark or blank lines."""
    assert _refused(write(content)) == [{"code": "file_empty", "file": "products.csv"}]


def test_a_file_without_rows_is_empty_of_rows(write: Callable[..., Path]) -> None:
    """A header alone is a file."""
    assert list(open_product_rows(write(HEADER))) == []


def test_a_nul_is_refused_with_its_line(write: Callable[..., Path]) -> None:
    """It is in no text."""
    path = write((HEADER + ROW).encode() + b"A-2,a\0b,BX,CNY,1\n")
    assert _refused(path) == [
        {
            "code": "nul_byte",
            "file": "products.csv",
            "line": 3,
            "offset": len((HEADER + ROW).encode()) + 5,
        }
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("before", [0, 1, 40_000])
@pytest.mark.parametrize("last", ["", "\n"])
def test_a_line_may_be_so_long_and_no_longer(
    write: Callable[..., Path], end: str, over: int, before: int, last: str
) -> None:
    """The limit is exact, wherever the line is, and told with it."""
    head = HEADER + "A,b,BX,CNY,1\n" * before
    row = "A-2,x,BX,CNY," + "1" * (MAX_LINE_BYTES - 13 + over)
    path = write((head + row + last).replace("\n", end))
    if over:
        assert _refused(path) == [
            {
                "code": "line_too_long",
                "file": "products.csv",
                "line": before + 2,
                "limit_bytes": MAX_LINE_BYTES,
            }
        ]
    else:
        assert len(list(open_product_rows(path))) == before + 1


def test_a_line_of_ten_megabytes_is_not_loaded(write: Callable[..., Path]) -> None:
    """It is refused in a few megabytes of memory, header or row, quoted or not."""
    for content in (
        HEADER + "A-1," + "x" * 10_000_000,
        "x" * 10_000_000,
        HEADER + 'A-1,"' + "x" * 10_000_000,
    ):
        path = write(content)
        tracemalloc.start()
        codes = [each["code"] for each in _refused(path)]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert codes == ["line_too_long"]
        assert peak < 6_000_000


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    """Nothing there, a folder, a pipe, a name that no file can have, an unknown format."""
    assert _refused(tmp_path / "a.csv") == [{"code": "file_not_found", "file": "a.csv"}]
    assert _refused(tmp_path, kind="csv")[0]["code"] == "not_a_file"
    os.mkfifo(tmp_path / "pipe.csv")
    assert _refused(tmp_path / "pipe.csv")[0]["code"] == "not_a_file"
    assert _refused(tmp_path / "a\0b.csv")[0]["code"] == "file_unreadable"
    (tmp_path / "file").write_text("")
    assert _refused(tmp_path / "file" / "a.csv")[0]["code"] == "file_unreadable"
    assert _refused(tmp_path / "products.xlsx")[0]["code"] == "file_not_found"
    (tmp_path / "products.txt").write_text(HEADER)
    assert _refused(tmp_path / "products.txt")[0]["code"] == "format_unknown"
    assert _refused(tmp_path / "products.csv", kind="xml")[0]["code"] == "format_unknown"


def test_rows_of_the_wrong_width_are_faults_of_the_row(write: Callable[..., Path]) -> None:
    """Too few cells leave the last ones absent, too many are told as such; others are read."""
    rows = list(open_product_rows(write(HEADER + "A,a,BX\nB,b,BX,CNY,1,2,3\nC,c,BX,CNY,1\n")))
    assert [row.values.get("agreed_price") for row in rows] == [None, "1", "1"]
    assert rows[1].values[None] == ["2", "3"]
    assert [_codes(row) for row in rows] == [["text_missing"], ["too_many_columns"], []]


def test_bad_values_are_faults_of_the_row(write: Callable[..., Path]) -> None:
    """A GTIN's check digit, a name that turns the line around, and numbers that are none."""
    header = "number,name,unit,unit_places,currency,agreed_price,gtin\n"
    cells = [
        ("苹果", "0", "1", "6970000000018", "gtin_check_failed"),
        ("苹\u202e果", "0", "1", "", "text_unprintable"),
        ('"苹\n果"', "0", "1", "", "text_unprintable"),
        ("苹果", "0", "1e5", "", "price_invalid"),
        ("苹果", "0", "NaN", "", "price_invalid"),
        ("苹果", "0", "-1", "", "price_negative"),
        ("苹果", "0", "9" * 16, "", "amount_too_large"),
        ("苹果", "0", "0.001", "", "too_many_places"),
        ("苹果", "9", "1", "", "unit_places_invalid"),
    ]
    text = header + "".join(f"A,{n},BX,{p},CNY,{a},{g}\n" for n, p, a, g, _ in cells)
    rows = list(open_product_rows(write(text)))
    assert [_codes(row) for row in rows] == [[code] for *_, code in cells]
    assert [row.line for row in rows] == [2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_a_misplaced_quote_is_a_fault_of_the_row(write: Callable[..., Path]) -> None:
    """The rows around it are read; a quote within a cell that has none at its start is text."""
    text = HEADER + 'A,"a"x,BX,CNY,1\nB,"5"" b",BX,CNY,1\nC,5" c,BX,CNY,1\nD,d,BX,CNY,"1"x\n'
    rows = list(open_product_rows(write(text)))
    assert [(row.number, row.line, _codes(row)) for row in rows] == [
        (1, 2, ["row_malformed"]),
        (2, 3, []),
        (3, 4, []),
        (4, 5, ["row_malformed"]),
    ]
    assert [row.values["name"] for row in rows[1:3]] == ['5" b', '5" c']


@pytest.mark.parametrize(
    "behind",
    ["", ROW, ROW * 10_000, 'B,"b",BX,CNY,1\n' * 10_000, '","\n' * 100_000],
)
def test_a_quote_that_is_not_closed_is_a_fault_of_the_file(
    write: Callable[..., Path], behind: str
) -> None:
    """It would make one row of many: the line of its record is named, and little memory used."""
    path = write(HEADER + 'A,"a,BX,CNY,1\n' + behind)
    (found,) = _refused(path)
    assert (found["code"], found["line"]) == ("quote_unterminated", 2)


def test_a_header_that_is_not_csv_is_refused(write: Callable[..., Path]) -> None:
    """A misplaced quote in it leaves the columns unknown."""
    assert _refused(write('"name"x,unit\n'))[0]["code"] == "header_malformed"


def test_a_changed_file_is_not_read_on(write: Callable[..., Path]) -> None:
    """What was looked through is what is read, or nothing."""
    path = write(HEADER + ROW)
    rows = open_product_rows(path)
    path.write_text(HEADER + ROW + ROW, "utf-8")
    with pytest.raises(UnusableInput, match="file_changed"):
        list(rows)
    path.unlink()
    with pytest.raises(UnusableInput, match="file_not_found"):
        list(rows)


def test_a_file_that_changes_under_the_reader_is_refused(write: Callable[..., Path]) -> None:
    """Bytes that are suddenly no text end the pass with a clear error."""
    path = write(HEADER + ROW * 100_000)
    passing = iter(open_product_rows(path))
    next(passing)
    with path.open("r+b") as file:
        file.write(b"\xff" * 3_000_000)
    with pytest.raises(UnusableInput, match="file_changed"):
        list(passing)


_CELL = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=8)


@given(
    st.lists(st.tuples(_CELL, _CELL, _CELL, _CELL), max_size=6),
    st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[tuple[str, ...]],
    encoding: str,
    end: str,
) -> None:
    """Quotes, commas and line feeds in cells, in every encoding."""
    out = StringIO()
    writer = csv.writer(out, lineterminator=end)
    writer.writerow(("name", "unit", "currency", "agreed_price"))
    writer.writerows(records)
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(out.getvalue().encode(encoding))
    said = "gb18030" if encoding == "gb18030" else "utf-8"
    rows = list(open_product_rows(path, encoding=said))
    assert [tuple(row.values.values()) for row in rows] == records
    assert [row.number for row in rows] == list(range(1, len(records) + 1))


@given(st.binary(max_size=80))
def test_any_bytes_are_rows_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """Whatever is in the file, each row is read or has a reason, or the file is refused."""
    base = tmp_path_factory.getbasetemp()
    for name, content in (("any.csv", HEADER.encode() + data), ("any.jsonl", data)):
        (base / name).write_bytes(content)
        try:
            rows = list(open_product_rows(base / name))
        except UnusableInput:
            continue
        for row in rows:
            assert isinstance(_codes(row), list)


def _json_line(**changes: Any) -> str:  # noqa: ANN401 - any JSON value
    row = {"name": "苹果", "unit": "BX", "currency": "CNY", "agreed_price": "1.00"}
    return json.dumps({**row, **changes}, ensure_ascii=False) + "\n"


def test_json_lines_are_rows(write: Callable[..., Path]) -> None:
    """Each line an object of text; `unit_places` may be a number, null is absent."""
    text = "\n" + _json_line(unit_places=3) + "\r\n" + _json_line(colour="red", gtin=None)
    rows = open_product_rows(write(codecs.BOM_UTF8 + text.encode(), "p.NDJSON"))
    assert [(row.number, row.line, _codes(row)) for row in rows] == [(1, 2, []), (2, 4, [])]
    product = read_row("green-farm", list(rows)[1].values)
    assert isinstance(product, ConsignedProduct)
    assert product.attributes == (("colour", "red"),)
    same = open_product_rows(write(text, "products.txt"), kind="jsonl")
    assert [row.values for row in same] == [row.values for row in rows]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[1]\n", {"code": "not_an_object", "value": "[1]"}),
        ("{\n", {"code": "not_json", "position": 2}),
        ('{"a": 1, "a": 2}\n', {"code": "name_repeated", "at": "a"}),
        (_json_line(agreed_price=float("nan")), {"code": "number_not_finite"}),
        (_json_line(agreed_price=1e5), {"code": "number_not_exact"}),
        (_json_line(agreed_price=1), {"code": "not_text", "column": "agreed_price", "value": "1"}),
        (_json_line(unit_places=True), {"code": "not_text", "column": "unit_places"}),
        (_json_line(number=["A"]), {"code": "not_text", "column": "number"}),
        (_json_line(deep="x").replace('"x"', "[" * 40 + "]" * 40), {"code": "too_deep"}),
    ],
)
def test_a_line_that_is_no_row_is_a_fault_of_the_row(
    write: Callable[..., Path], line: str, expected: dict[str, Any]
) -> None:
    """The lines around it are read."""
    path = write(_json_line() + line + _json_line(), "products.jsonl")
    before, row, after = open_product_rows(path)
    assert (before.number, row.number, row.line, after.number) == (1, 2, 2, 3)
    assert row.fault is not None
    assert expected.items() <= row.fault.as_dict().items()
    assert "line" not in row.fault.details
    assert (row.values, after.fault) == ({}, None)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file_empty"),
        (_json_line().encode("gb18030"), "wrong_encoding"),
        (_json_line().encode() + b"\0", "nul_byte"),
        (b"{" + b"\r" * 70_000 + b"}", "line_too_long"),
    ],
)
def test_a_json_lines_file_can_be_unusable_too(
    write: Callable[..., Path], content: bytes, code: str
) -> None:
    """As a CSV file; only a line feed ends a line."""
    assert _refused(write(content, "products.jsonl"))[0]["code"] == code


def test_a_million_cells_stream_in_bounded_memory(write: Callable[..., Path]) -> None:
    """A pass over a hundred thousand rows keeps none of them."""
    path = write(HEADER + ROW * 200_000)
    tracemalloc.start()
    count = sum(1 for _ in open_product_rows(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 200_000
    assert peak < 6_000_000
