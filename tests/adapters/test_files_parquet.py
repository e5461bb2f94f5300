from __future__ import annotations

import json
import struct
import subprocess
import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consignment.adapters.files import Kind, Limits, open_product_rows
from consignment.adapters.files.footer import FOOTER, MAGIC, TRAILER
from consignment.adapters.files.pages import pages_of
from consignment.adapters.files.thrift import (
    BINARY,
    BYTE,
    I16,
    I32,
    I64,
    TRUTH,
    Shape,
    read,
    write,
)
from consignment.domain.errors import UnusableInput
from consignment.domain.product import ConsignedProduct, read_row
from tests.adapters.test_files_xlsx import _measured, needs_proc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
damaging = pytest.importorskip("tests.adapters.damaging")

ROW: dict[str, list[Any]] = {
    "number": ["A-1"],
    "name": ["苹果"],
    "unit": ["BX"],
    "currency": ["CNY"],
    "agreed_price": [Decimal("68.80")],
}


def _write(path: Path, columns: dict[str, Any], **options: Any) -> Path:  # noqa: ANN401 - of `write_table`
    pq.write_table(pa.table(columns), path, **options)
    return path


def _refused(path: Path, **options: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as asked
    with pytest.raises(UnusableInput) as caught:
        open_product_rows(path, **options)
    return [each.as_dict() for each in caught.value.reasons]


def test_rows_are_read_as_often_as_wanted(tmp_path: Path) -> None:
    """Over row groups and batches, in order; the line is the row's place."""
    many = {name: values * 10_000 for name, values in ROW.items()}
    many["number"] = [f"A-{i}" for i in range(10_000)]
    rows = open_product_rows(_write(tmp_path / "a.dat", many, row_group_size=3_000))
    assert (rows.kind, rows.columns) == (Kind.PARQUET, tuple(ROW))
    read = list(rows)
    assert [(row.number, row.line) for row in read] == [(i, i) for i in range(1, 10_001)]
    assert [row.values["number"] for row in read] == many["number"]
    assert isinstance(read_row("green-farm", read[-1].values), ConsignedProduct)
    assert list(rows) == read
    assert list(open_product_rows(_write(tmp_path / "b.parquet", pa.table(many)[:0]))) == []


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array(["a", None, "=1", ""]), ["a", "", "=1", ""]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", "", "a"]),
        (pa.array([5, None, 5]).dictionary_encode(), ["5", "", "5"]),
        (pa.array(["a", None], pa.large_string()), ["a", ""]),
        (pa.array([None, None]), ["", ""]),
        (pa.array([1, None, 2**63 - 1]), ["1", "", "9223372036854775807"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([True, None, False]), ["true", "", "false"]),
        (pa.array([date(2026, 9, 1), None]), ["2026-09-01", ""]),
        (pa.array([date(2026, 9, 1)], pa.date64()), ["2026-09-01"]),
        (
            pa.array([datetime(2026, 9, 1), None, datetime(2026, 9, 1, 12)], pa.timestamp("ns")),  # noqa: DTZ001 - without a zone
            ["2026-09-01", "", "2026-09-01T12:00:00.000000000"],
        ),
        (
            pa.array([datetime(2026, 9, 1, tzinfo=UTC)], pa.timestamp("ms", "UTC")),
            ["2026-09-01T00:00:00.000Z"],
        ),
        (pa.array([time(12, 30)], pa.time32("ms")), ["12:30:00.000"]),
        (
            pa.array([4.5, None, 6901234567892.0, 1e-7, -0.0]),
            ["4.5", "", "6901234567892", "0.0000001", "0"],
        ),
        (pa.array([4.6, None, 0.1], pa.float32()), ["4.6", "", "0.1"]),
        (
            pa.array([Decimal("4.5000"), None, Decimal("100.0000"), Decimal("0.0001")]),
            ["4.5", "", "100", "0.0001"],
        ),
        (pa.array([Decimal("1e20")], pa.decimal256(40, 0)), ["100000000000000000000"]),
    ],
)
def test_a_value_is_its_exact_text(tmp_path: Path, values: Any, texts: list[str]) -> None:  # noqa: ANN401 - an array
    """Of every type that is one value; what is null is empty."""
    rows = {name: each * len(values) for name, each in ROW.items()}
    path = _write(tmp_path / "a.parquet", {**rows, "more": values})
    assert [row.values["more"] for row in open_product_rows(path)] == texts


def test_a_value_that_cannot_be_told_is_a_fault_of_its_row(tmp_path: Path) -> None:
    """A number that lost digits; the rows around it are read."""
    rows = {name: values * 4 for name, values in ROW.items()}
    rows["rate"] = [1 / 3, None, float("nan"), 1.0]
    rows["text"] = ["a", "b", None, "x" * 32_767]
    read = list(open_product_rows(_write(tmp_path / "a.parquet", rows)))
    assert [row.fault and row.fault.as_dict() for row in read] == [
        {"code": "digits_lost", "column": "rate", "value": "0.3333333333333333"},
        None,
        {"code": "digits_lost", "column": "rate", "value": "nan"},
        None,
    ]
    assert [bool(row.values) for row in read] == [False, True, False, True]


def test_columns_are_checked_as_in_csv(tmp_path: Path) -> None:
    """Those that are missing, and those that are not one value, all at once."""
    columns = {
        "name": ["a"],
        "unit": [["a"]],
        "currency": [{"a": 1}],
        "binary": [b"a"],
    }
    reasons = _refused(_write(tmp_path / "a.parquet", columns))
    assert [(each["code"], each["column"]) for each in reasons] == [
        ("column_missing", "agreed_price"),
        ("column_type_unsupported", "unit"),
        ("column_type_unsupported", "currency"),
        ("column_type_unsupported", "binary"),
    ]
    table = pa.Table.from_arrays([pa.array(["a"])] * 2, ["name", "name"])
    pq.write_table(table, tmp_path / "b.parquet")
    assert _refused(tmp_path / "b.parquet")[0]["code"] == "column_repeated"


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    """By its content; with the extra's name when the library is not there."""
    path = _write(tmp_path / "a.parquet", ROW)
    assert _refused(path, kind="xlsx")[0]["code"] == "format_differs"
    assert _refused(path, sheet="x")[0]["code"] == "sheet_missing"
    (tmp_path / "text.parquet").write_text("number,name")
    assert _refused(tmp_path / "text.parquet")[0]["code"] == "format_differs"
    good = path.read_bytes()
    for data, code in (
        (b"PARE" + good[4:], "file_encrypted"),
        (good[:-4] + b"PARE", "file_encrypted"),
        (good[:-4] + b"nope", "file_malformed"),
        (good[:-40], "file_malformed"),
        (b"PAR1", "file_malformed"),
        (good[:4] + bytes(60) + good[64:], "file_malformed"),
    ):
        path.write_bytes(data)
        assert [each["code"] for each in _refused(path)] == [code]


def test_text_that_is_none_is_refused_before_the_first_row(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 in a column of text."""
    bad = pa.array([b"\xff"], pa.binary()).view(pa.string())
    path = _write(tmp_path / "a.parquet", {**ROW, "more": bad})
    assert [each["code"] for each in _refused(path)] == ["file_malformed"]


def test_without_the_extra_the_refusal_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is loaded only when Parquet is read."""
    path = _write(tmp_path / "a.parquet", ROW)
    monkeypatch.delitem(sys.modules, "consignment.adapters.files.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (told,) = _refused(path)
    assert (told["code"], told["extra"]) == ("extra_missing", "consignment[parquet]")


# Damaged ones. That they are refused is not enough: some footers end the process in pyarrow.


def _refooted(
    good: bytes,
    change: Callable[[dict[int, Any]], object],
    shape: Mapping[int, Shape] = FOOTER,
) -> bytes:
    """Give a file whose footer says something else."""
    begin = len(good) - TRAILER.size - TRAILER.unpack(good[-TRAILER.size :])[0]
    fields, _ = read(good[begin:], shape)
    change(fields)
    footer = write(fields, shape)
    return good[:begin] + footer + TRAILER.pack(len(footer), MAGIC)


def _group(footer: dict[int, Any]) -> Any:  # noqa: ANN401 - a `RowGroup`
    return footer[4][0]


def _column(footer: dict[int, Any]) -> Any:  # noqa: ANN401 - a `ColumnChunk`
    return _group(footer)[1][1]


def _about(footer: dict[int, Any]) -> Any:  # noqa: ANN401 - a `ColumnMetaData`
    return _column(footer)[3]


_NAME = "row group 1, column name"


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        (lambda footer: footer.pop(1), "footer", "version None"),
        (lambda footer: footer.update({3: -1}), "footer", "rows -1"),
        (lambda footer: footer.update({3: 2}), "footer", "2 rows, in groups 1"),
        (lambda footer: footer[4].append(footer[4][0]), "footer", "1 rows, in groups 2"),
        (lambda footer: footer.pop(2), "schema", "is cut off"),
        (lambda footer: footer[2].pop(), "schema", "is cut off"),
        (lambda footer: footer[2].append(footer[2][1]), "schema element 6", "is nobody's child"),
        (lambda footer: footer[2][0].update({5: -1}), "schema element 0", "-1 children"),
        (lambda footer: footer[2][0].pop(5), "schema element 0", "type None"),
        (lambda footer: footer[2][2].pop(4), "schema element 2", "has no name"),
        (lambda footer: footer[2][2].update({1: 8}), "schema element 2", "type 8"),
        (lambda footer: footer[2][2].update({2: -1}), "schema element 2", "length -1"),
        (lambda footer: footer[2][2].update({3: 3}), "schema element 2", "repetition 3"),
        (lambda footer: footer[2][2].update({6: 22}), "schema element 2", "type 22"),
        (lambda footer: footer[2][2].update({5: 1}), "schema element 2", "1 children"),
        (lambda footer: _group(footer).pop(2), "row group 1", "bytes None"),
        (lambda footer: _group(footer)[1].pop(), "row group 1", "4 columns, not 5"),
        (lambda footer: _group(footer)[1].append({}), "row group 1", "6 columns, not 5"),
        (lambda footer: _group(footer).pop(1), "row group 1", "0 columns, not 5"),
        (lambda footer: _column(footer).pop(3), _NAME, "is not of the schema's type"),
        (lambda footer: _column(footer).update({1: b"b"}), _NAME, "is in another file"),
        (lambda footer: _about(footer).update({1: 1}), _NAME, "is not of the schema's type"),
        (lambda footer: _about(footer)[3].append(b"b"), _NAME, "has another path"),
        (lambda footer: _about(footer).update({4: 8}), _NAME, "codec 8"),
        (lambda footer: _about(footer).update({5: 2}), _NAME, "2 values, 1 rows"),
        (lambda footer: _about(footer).update({7: 10**9}), _NAME, "bytes"),
        (lambda footer: _about(footer).update({9: 0, 11: 0}), _NAME, "bytes 0 to"),
        (lambda footer: _about(footer).update({9: -1}), _NAME, "offset -1"),
        (lambda footer: _about(footer).update({7: 3}), _NAME, "no page at byte"),
        (lambda footer: footer[2][5].update({2: 100}), "column agreed_price", "100 bytes"),
    ],
)
def test_a_footer_that_does_not_agree_is_refused(
    tmp_path: Path, change: Callable[[dict[int, Any]], object], place: str, problem: str
) -> None:
    """With the place, before a library sees it; to ask for a missing column ends the process."""
    path = _write(tmp_path / "a.parquet", ROW)
    path.write_bytes(_refooted(path.read_bytes(), change))
    (told,) = _refused(path)
    assert told["code"] == "file_malformed"
    assert place in told["place"]
    assert problem in told["problem"]


@pytest.mark.parametrize(
    "change",
    [
        lambda footer: footer.update({8: {}}),
        lambda footer: _column(footer).update({8: {}}),
    ],
)
def test_columns_that_are_encrypted_are_told(
    tmp_path: Path, change: Callable[[dict[int, Any]], object]
) -> None:
    """Also where the footer is not."""
    path = _write(tmp_path / "a.parquet", ROW)
    path.write_bytes(_refooted(path.read_bytes(), change))
    assert [each["code"] for each in _refused(path)] == ["file_encrypted"]


def test_fewer_rows_than_the_footer_says_are_no_rows(tmp_path: Path) -> None:
    """The pages have one; it would be imported as if it were all."""
    path = _write(tmp_path / "a.parquet", ROW)

    def say_two(footer: dict[int, Any]) -> None:
        footer[3] = _group(footer)[3] = 2
        for column in _group(footer)[1]:
            column[3][5] = 2

    path.write_bytes(_refooted(path.read_bytes(), say_two))
    assert [each["code"] for each in _refused(path)] == ["file_malformed"]


def test_what_is_not_needed_of_a_footer_reaches_no_library(tmp_path: Path) -> None:
    """Statistics of sizes that do not fit: to look at such a column ends the process in pyarrow."""
    about: dict[int, Shape] = {16: {1: I64, 2: [I64], 3: [I64]}}
    shape = _with_about(FOOTER, about)

    def give_sizes(footer: dict[int, Any]) -> None:
        _about(footer)[16] = {1: -1, 2: [1, 2], 3: [1, 2, 3]}
        footer[6] = b"x" * 100_000

    path = _write(tmp_path / "a.parquet", ROW)
    path.write_bytes(_refooted(path.read_bytes(), give_sizes, shape))
    assert [row.values["name"] for row in open_product_rows(path)] == ["苹果"]


def _with_about(footer: Any, about: dict[int, Shape]) -> Any:  # noqa: ANN401 - a `Shape`
    """Give the shape of footers with further fields of `ColumnMetaData`."""
    group = footer[4][0]
    column = group[1][0]
    column = {**column, 3: {**column[3], **about}}
    return {**footer, 4: [{**group, 1: [column]}]}


def test_a_schema_without_end_is_refused(tmp_path: Path) -> None:
    """Groups in groups, which a library goes down one call each; some are told by their type."""
    path = _write(tmp_path / "a.parquet", ROW)
    good = path.read_bytes()

    def nest(depth: int) -> Callable[[dict[int, Any]], None]:
        def change(footer: dict[int, Any]) -> None:
            footer[2][-1:] = [{3: 0, 4: b"g", 5: 1}] * depth + footer[2][-1:]
            _group(footer)[1][-1][3][3] = [b"g"] * depth + [b"agreed_price"]
            del footer[5]

        return change

    path.write_bytes(_refooted(good, nest(100_000)))
    (told,) = _refused(path, limits=Limits(footer_bytes=10_000_000))
    assert (told["code"], told["problem"]) == ("file_malformed", "is too deep")
    path.write_bytes(_refooted(good, nest(2)))
    assert [each["code"] for each in _refused(path)] == [
        "column_missing",
        "column_type_unsupported",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x15",
        # A text, a list, a number that are longer than what is there, or without end.
        b"\x68\x7f",
        b"\x29\xfc\xff\xff\xff\xff\x0f",
        b"\x15" + b"\xff" * 20,
        b"\x15\x80\x80\x80\x80\x20\x00",
        # Another type than the field's, alone and in a list; a map.
        b"\x16\x02\x00",
        b"\x11\x00",
        b"\x29\x15\x02\x00",
        b"\x9b\x00\x00",
        # Structs and lists within each other without end.
        b"\x9c" + b"\x1c" * 1_000,
        b"\x99" + b"\x19" * 1_000,
    ],
)
def test_what_is_no_thrift_is_refused(tmp_path: Path, data: bytes) -> None:
    """A footer of any bytes."""
    path = tmp_path / "a.parquet"
    path.write_bytes(MAGIC + data + TRAILER.pack(len(data), MAGIC))
    assert [each["problem"] for each in _refused(path)] == ["is not well-formed"]


_SHAPE: dict[int, Shape] = {1: TRUTH, 2: BYTE, 3: I16, 4: I32, 5: I64, 6: BINARY, 9: [I64]}
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        1: st.booleans(),
        **{
            field: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            for field, bits in ((2, 8), (3, 16), (4, 32), (5, 64))
        },
        6: st.binary(),
        9: st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20),
        15: st.lists(st.dictionaries(st.just(1), st.booleans())),
    },
)


@given(_FIELDS)
def test_what_is_written_is_read(fields: dict[int, Any]) -> None:
    """To the last byte, whatever is of interest; the rest is passed over."""
    shape: dict[int, Shape] = {**_SHAPE, 15: [{1: TRUTH}]}
    data = write(fields, shape)
    assert read(data + b"more", shape) == (fields, len(data))
    assert read(data, {4: I32}) == ({4: fields[4]} if 4 in fields else {}, len(data))
    # Doubles and lists of truth values are in no field of interest.
    other = b"\x17" + bytes(8) + b"\x19\x21\x01\x02\x00"
    assert read(other, {4: I32}) == ({}, len(other))


def test_any_damage_is_rows_or_refused(tmp_path: Path) -> None:
    """Whatever is written over a file, its footer too: no process ends, and nothing else is raised.

    Among these seeds there are some for which pyarrow ends the process when it is asked for a
    column's metadata.
    """
    command = [sys.executable, damaging.__file__, tmp_path, "0", "400"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    seed = (tmp_path / "seed").read_text()
    assert done.returncode == 0, f"seed {seed}: {done.stderr.decode()}"
    found = json.loads(done.stdout)
    assert found["rows"] >= 20
    assert found["file_malformed"] >= 200


# Hostile ones.


@needs_proc
@pytest.mark.parametrize(
    ("length", "options"),
    [
        (1_000_000, {}),
        (1_000_000, {"use_dictionary": False, "column_encoding": {"more": "DELTA_BYTE_ARRAY"}}),
        (1_000_000, {"use_dictionary": False}),
    ],
)
def test_a_long_text_that_comes_again_takes_little_memory(
    tmp_path: Path, length: int, options: dict[str, Any]
) -> None:
    """It is in the file once, or nearly, and would be unpacked for each row."""
    times = 200 if options == {"use_dictionary": False} else 1_000
    rows = {name: pa.array(values).take([0] * times) for name, values in ROW.items()}
    text = pa.array(["x" * length]).take([0] * times)
    path = _write(tmp_path / "a.parquet", {**rows, "more": text}, compression="zstd", **options)
    assert path.stat().st_size < 310_000
    told, peak_mib, _ = _measured(path)
    assert [each["code"] for each in told] == ["limit_exceeded"]
    assert told[0]["cap"] in ("cell_characters", "page_bytes")
    assert told[0]["found"] >= length
    assert peak_mib < 200


@needs_proc
def test_texts_of_the_greatest_length_are_read_in_bounded_memory(tmp_path: Path) -> None:
    """Ten thousand rows that refer to one of them: 330 MB that are never there at once."""
    text = pa.DictionaryArray.from_arrays(
        pa.array([0] * 10_000, pa.int32()), pa.array(["x" * 32_767])
    ).cast(pa.string())
    rows = {name: pa.array(values).take([0] * 10_000) for name, values in ROW.items()}
    path = _write(tmp_path / "a.parquet", {**rows, "more": text})
    told, peak_mib, count = _measured(path)
    assert (told, count) == ([], 10_000)
    assert peak_mib < 250


@needs_proc
@pytest.mark.parametrize("codec", ["gzip", "zstd", "snappy", "brotli"])
def test_a_page_that_unpacks_to_much_is_refused_by_its_own_header(
    tmp_path: Path, codec: str
) -> None:
    """200 MB of zeros in a file of a few hundred kilobytes."""
    rows = {**ROW, "more": ["x" * 200_000_000]}
    path = _write(tmp_path / "a.parquet", rows, compression=codec, use_dictionary=False)
    told, peak_mib, _ = _measured(path)
    assert [(each["code"], each["cap"]) for each in told] == [("limit_exceeded", "page_bytes")]
    assert told[0]["found"] > 200_000_000 > told[0]["limit"]
    assert "more" in told[0]["place"]
    assert peak_mib < 200


def _thrift_int(value: int) -> bytes:
    value <<= 1
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@needs_proc
def test_a_page_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """It unpacks to more than its header says: no more room is made than it says."""
    rows = {**ROW, "more": ["x" * 100_000_000]}
    options = {"compression": "gzip", "use_dictionary": False}
    path = _write(tmp_path / "a.parquet", rows, **options)
    data = path.read_bytes()
    column = pq.ParquetFile(path).metadata.row_group(0).column(len(ROW))
    at = column.data_page_offset
    with path.open("rb") as file:
        ((size, *_),) = pages_of(file, at, at + column.total_compressed_size)
    said = _thrift_int(size)
    true_at = data.index(said, at, at + 40)
    # As many bytes, for a small number: the digits that are left are zeros.
    small = bytes([0x80 | 100, *[0x80] * (len(said) - 2), 0])
    path.write_bytes(data[:true_at] + small + data[true_at + len(said) :])
    told, peak_mib, _ = _measured(path)
    assert [each["code"] for each in told] == ["file_malformed"]
    assert peak_mib < 200


def test_metadata_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """Before a library makes objects of it; a length that lies is refused as well."""
    path = _write(tmp_path / "a.parquet", ROW)
    good = path.read_bytes()
    path.write_bytes(good[:-8] + struct.pack("<I", 2_000_000_000) + good[-4:])
    (told,) = _refused(path)
    assert (told["cap"], told["found"]) == ("footer_bytes", 2_000_000_000)
    path.write_bytes(good[:-8] + struct.pack("<I", 100_000) + good[-4:])
    assert _refused(path)[0]["code"] == "file_malformed"


def test_caps_are_settings(tmp_path: Path) -> None:
    """A smaller one refuses more, with the figure that was found."""
    path = _write(tmp_path / "a.parquet", {name: each * 3 for name, each in ROW.items()})
    for cap, limit, found, place in (
        ("parquet_rows", 2, 3, "footer"),
        ("columns", 4, 5, "footer"),
        ("pages", 4, 5, "row group 1, column unit"),
    ):
        (told,) = _refused(path, limits=Limits(**{cap: limit}))
        assert (told["cap"], told["found"], told["place"]) == (cap, found, place)
    assert _refused(path, limits=Limits(row_group_bytes=50))[0]["cap"] == "row_group_bytes"
    assert _refused(path, limits=Limits(page_bytes=50))[0]["cap"] == "page_bytes"
    assert _refused(path, limits=Limits(footer_bytes=50))[0]["cap"] == "footer_bytes"
