"""Rows of CSV and JSON Lines files."""

from __future__ import annotations

import csv
import os
import stat
from collections import Counter
from contextlib import contextmanager
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from attrs import field, frozen

from consignment.adapters.files.scan import MAX_LINE_BYTES, Scan, scan
from consignment.domain.errors import InvalidValue, Reason, UnusableInput, reason
from consignment.domain.product import REQUIRED_COLUMNS
from consignment.formats import strict_json
from consignment.formats.faults import shown
from consignment.ports.product_rows import ProductRow

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Kind", "ProductRows", "open_product_rows"]

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


class Kind(StrEnum):
    """The formats of product files."""

    CSV = "csv"
    JSON_LINES = "jsonl"


_SUFFIXES = {".csv": Kind.CSV, ".jsonl": Kind.JSON_LINES, ".ndjson": Kind.JSON_LINES}


def open_product_rows(
    path: str | Path, *, encoding: str | None = None, kind: str | None = None
) -> ProductRows:
    """Open a product file: look through it once, and give its rows as often as they are wanted.

    `kind` is `csv` or `jsonl`; without it the suffix tells (.csv, .jsonl, .ndjson). CSV is in
    UTF-8 or GB 18030, which is found out when `encoding` does not say it; JSON Lines in UTF-8.

    Raises `UnusableInput` when the file as a whole is unusable, with every fault that was found,
    and its line and figure: `file_not_found`, `not_a_file`, `file_unreadable`, `format_unknown`,
    `file_empty`, `wrong_encoding`, `nul_byte`, `line_too_long`, `quote_unterminated`,
    `column_missing`, `column_repeated`, `column_unnamed`, `header_malformed`.
    `InvalidValue` (`encoding_unknown`) for an encoding that is neither.
    """
    path = Path(path)
    chosen = _kind_of(path, kind)
    encodings: tuple[str, ...] = ("utf-8",)
    if encoding is not None:
        encodings = (_encoding(encoding, chosen),)
    elif chosen is Kind.CSV:
        encodings = ("utf-8", "gb18030")
    breaks = (b"\n", b"\r") if chosen is Kind.CSV else (b"\n",)
    with _opened(path) as file:
        seen = _signature(file)
        found = scan(file, path.name, encodings, breaks)
        header: tuple[str, ...] = ()
        if chosen is Kind.CSV:
            header = _check_csv(file, found, path.name)
    return ProductRows(path, chosen, found, seen, header)


@frozen
class ProductRows:
    """The rows of a product file; see `ports.product_rows`. Each pass opens the file anew.

    A pass raises `UnusableInput` (`file_changed`) when the file is no longer the one that was
    looked through.
    """

    path: Path
    kind: Kind
    _scan: Scan = field(repr=False)
    _seen: tuple[int, ...] = field(repr=False)
    #: The columns of a CSV file, in their order.
    columns: tuple[str, ...] = ()

    @property
    def encoding(self) -> str:
        """What the file is written in: `utf-8` or `gb18030`."""
        return self._scan.encoding

    def __iter__(self) -> Iterator[ProductRow]:
        with _opened(self.path) as file:
            if _signature(file) != self._seen:
                raise self._changed()
            try:
                if self.kind is Kind.CSV:
                    with _decoded(file, self._scan) as text:
                        yield from _csv_rows(text, self.columns)
                else:
                    file.seek(self._scan.mark_bytes)
                    yield from _json_rows(file)
            except UnicodeDecodeError as error:
                raise self._changed() from error

    def _changed(self) -> UnusableInput:
        return UnusableInput(reason("file_changed", file=self.path.name))


def _kind_of(path: Path, kind: str | None) -> Kind:
    if kind is None:
        found = _SUFFIXES.get(path.suffix.lower())
    else:
        found = Kind(kind) if kind in list(Kind) else None
    if found is None:
        raise UnusableInput(
            reason("format_unknown", file=path.name, formats=[each.value for each in Kind])
        )
    return found


def _encoding(name: str, kind: Kind) -> str:
    known = _ENCODINGS.get(name.lower().replace("_", "-"))
    if known is None or (kind is Kind.JSON_LINES and known != "utf-8"):
        raise InvalidValue(reason("encoding_unknown", encoding=shown(name)))
    return known


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        # A pipe is told from a file before it is opened, because opening it would wait.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnusableInput(reason("not_a_file", file=path.name))
        file = path.open("rb")
    except FileNotFoundError as error:
        raise UnusableInput(reason("file_not_found", file=path.name)) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with file:
        try:
            yield file
        except OSError as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | ValueError) -> UnusableInput:
    problem = (isinstance(error, OSError) and error.strerror) or str(error)
    return UnusableInput(reason("file_unreadable", file=shown(path.name), problem=problem))


def _signature(file: BinaryIO) -> tuple[int, ...]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


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
    blank = [i for i, column in enumerate(header, start=1) if not column or column.isspace()]
    faults += [reason("column_unnamed", file=name, position=i) for i in blank]
    faults += [
        reason("column_repeated", file=name, column=shown(column), times=times)
        for column, times in Counter(header).items()
        if times > 1 and column and not column.isspace()
    ]
    present = [shown(column) for column in header[:50]]
    faults += [
        reason("column_missing", file=name, column=column, found=present)
        for column in REQUIRED_COLUMNS
        if column not in header
    ]
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
                    yield ProductRow(number, line, _uneven(columns, record))
                line = reader.line_num + 1
        except csv.Error as error:
            number += 1
            yield ProductRow(number, line, {}, reason("row_malformed", problem=str(error)))
            line = reader.line_num + 1
        else:
            return


def _uneven(columns: tuple[str, ...], record: list[str]) -> dict[str | None, Any]:
    """Give a row with too few or too many cells, as `csv.DictReader` does."""
    values: dict[str | None, Any] = dict.fromkeys(columns)
    values.update(zip(columns, record, strict=False))
    if len(record) > len(columns):
        values[None] = record[len(columns) :]
    return values


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
