"""Rows of CSV and JSON Lines files."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, BinaryIO

from consignment.adapters.files.columns import column_faults, uneven
from consignment.adapters.files.scan import MAX_LINE_BYTES, Scan, scan
from consignment.domain.errors import InvalidValue, Reason, UnusableInput, reason
from consignment.formats import strict_json
from consignment.formats.faults import shown
from consignment.ports.product_rows import ProductRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["open_csv", "open_json_lines"]

#: The longest CSV record, in characters, over all the lines that its quotes span.
_MAX_RECORD = 128 * 1024

_ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "utf-8-sig": "utf-8",
    # GB 18030 has all of GBK and GB 2312 in it.
    "gb18030": "gb18030",
    "gbk": "gb18030",
    "gb2312": "gb18030",
}


def open_csv(
    file: BinaryIO, name: str, encoding: str | None
) -> tuple[str, tuple[str, ...], Callable[[BinaryIO], Iterator[ProductRow]]]:
    """Look through a CSV file; give its encoding, its columns, and what passes over its rows."""
    encodings = ("utf-8", "gb18030") if encoding is None else (_known(encoding),)
    found = scan(file, name, encodings, (b"\n", b"\r"))
    columns = _check_csv(file, found, name)

    def rows(file: BinaryIO) -> Iterator[ProductRow]:
        with _decoded(file, found) as text:
            yield from _csv_rows(text, columns)

    return found.encoding, columns, rows


def open_json_lines(
    file: BinaryIO, name: str, encoding: str | None
) -> tuple[str, tuple[str, ...], Callable[[BinaryIO], Iterator[ProductRow]]]:
    """Look through a JSON Lines file, as `open_csv` does; it has no columns for all rows."""
    if encoding is not None and _known(encoding) != "utf-8":
        raise InvalidValue(reason("encoding_unknown", encoding=shown(encoding)))
    found = scan(file, name, ("utf-8",), (b"\n",))

    def rows(file: BinaryIO) -> Iterator[ProductRow]:
        file.seek(found.mark_bytes)
        return _json_rows(file)

    return found.encoding, (), rows


def _known(encoding: str) -> str:
    known = _ENCODINGS.get(encoding.lower().replace("_", "-"))
    if known is None:
        raise InvalidValue(reason("encoding_unknown", encoding=shown(encoding)))
    return known


@contextmanager
def _decoded(file: BinaryIO, found: Scan) -> Iterator[TextIOWrapper]:
    file.seek(found.mark_bytes)
    # Line ends are left to the CSV reader, which knows those within quotes.
    text = TextIOWrapper(file, encoding=found.encoding, newline="")
    try:
        yield text
    finally:
        text.detach()


# CSV.


def _check_csv(file: BinaryIO, found: Scan, name: str) -> tuple[str, ...]:
    """Check what concerns a CSV file as a whole, and give its columns."""
    faults: list[Reason] = []
    with _decoded(file, found) as text:
        header = _header(csv.reader(text, strict=True), name)
    faults += column_faults(header, name)
    if found.quoted:
        with _decoded(file, found) as text:
            faults += _quote_faults(text, name)
    if faults:
        raise UnusableInput(faults)
    return header


def _header(reader: Any, name: str) -> tuple[str, ...]:  # noqa: ANN401 - the type of `csv.reader()` has no public name
    try:
        for record in reader:
            if record:
                # GB 18030 has a byte order mark too; that of UTF-8 was passed over before.
                record[0] = record[0].removeprefix("\ufeff")
                return tuple(record)
    except csv.Error as error:
        raise UnusableInput(
            reason("header_malformed", file=name, line=reader.line_num, problem=str(error))
        ) from error
    raise UnusableInput(reason("file_empty", file=name))


class _RecordTooLong(Exception):
    pass


def _quote_faults(text: TextIOWrapper, name: str) -> list[Reason]:
    """Find a quote that is not closed: it would make one record of what were many rows."""
    characters = 0
    ended = False

    def lines() -> Iterator[str]:
        nonlocal characters, ended
        for line in text:
            characters += len(line)
            if characters > _MAX_RECORD:
                raise _RecordTooLong
            yield line
        ended = True

    reader = csv.reader(lines(), strict=True)
    line = 1
    while True:
        try:
            for _ in reader:
                characters = 0
                line = reader.line_num + 1
        except csv.Error:
            if ended or reader.line_num > line:
                break
            # A misplaced quote within one line is a fault of that row only.
            characters = 0
            line = reader.line_num + 1
        except _RecordTooLong:
            break
        else:
            return []
    return [reason("quote_unterminated", file=name, line=line, limit_characters=_MAX_RECORD)]


def _csv_rows(text: TextIOWrapper, columns: tuple[str, ...]) -> Iterator[ProductRow]:
    reader = csv.reader(text, strict=True)
    _header(reader, "")
    width = len(columns)
    # What `ProductRow()` does, without the call in between, which takes 6 % of a pass.
    make = tuple.__new__
    number = 0
    line = reader.line_num + 1
    while True:
        try:
            for record in reader:
                if len(record) == width:
                    number += 1
                    yield make(ProductRow, (number, line, dict(zip(columns, record)), None))  # noqa: B905 - as long, and `strict` takes time
                elif record:
                    number += 1
                    yield ProductRow(number, line, uneven(columns, record))
                line = reader.line_num + 1
        except csv.Error as error:
            number += 1
            yield ProductRow(number, line, {}, reason("row_malformed", problem=str(error)))
            line = reader.line_num + 1
        else:
            return


# JSON Lines.


def _json_rows(file: BinaryIO) -> Iterator[ProductRow]:
    number = 0
    for line, data in enumerate(file, start=1):
        if data.isspace():
            continue
        number += 1
        try:
            value = strict_json.parse(data.rstrip(b"\r\n"), max_bytes=MAX_LINE_BYTES)
        except UnusableInput as error:
            yield ProductRow(number, line, {}, _within_line(error.reasons[0]))
            continue
        fault = _object_fault(value)
        yield ProductRow(number, line, value if fault is None else {}, fault)


def _within_line(fault: Reason) -> Reason:
    """Call the place in the line a position: a row's reasons call its cells columns."""
    details = dict(fault.details)
    details.pop("line", None)
    if "column" in details:
        details["position"] = details.pop("column")
    return Reason(fault.code, details)


def _object_fault(value: object) -> Reason | None:
    if not isinstance(value, dict):
        return reason("not_an_object", value=shown(value))
    for column, each in value.items():
        if isinstance(each, str) or each is None:
            continue
        if column == "unit_places" and type(each) is int:
            continue
        return reason("not_text", column=shown(column), value=shown(each))
    return None
