from __future__ import annotations

import struct
import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consignment.adapters.files import Kind, Limits, open_product_rows
from consignment.adapters.files.pages import pages_of
from consignment.domain.errors import UnusableInput
from consignment.domain.product import ConsignedProduct, read_row
from tests.adapters.test_files_xlsx import _measured, needs_proc

if TYPE_CHECKING:
    from pathlib import Path

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

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


@settings(deadline=None)  # files are written
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_any_bytes_are_rows_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, data: bytes
) -> None:
    """Whatever is written over a file's pages, it is read, or refused before the first row.

    Not over its metadata: pyarrow ends the process for some (a size statistic that does not fit).
    """
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    good = _write(path, ROW).read_bytes()
    at %= len(good) - pq.ParquetFile(path).metadata.serialized_size - 16
    path.write_bytes(good[:at] + data + good[at + len(data) :])
    try:
        rows = open_product_rows(path, kind="parquet")
    except UnusableInput:
        return
    assert len(list(rows)) <= 1_000_000


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
