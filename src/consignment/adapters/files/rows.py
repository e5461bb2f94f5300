"""Product files of every format: told apart, looked through once, and read as often as wanted."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, NoReturn

from attrs import field, frozen

from consignment.adapters.files.limits import Limits
from consignment.adapters.files.signatures import Found, look
from consignment.adapters.files.text import open_csv, open_json_lines
from consignment.domain.errors import InvalidValue, UnusableInput, reason
from consignment.formats.faults import shown
from consignment.ports.product_rows import ProductRow

__all__ = ["Kind", "ProductRows", "open_product_rows"]


class Kind(StrEnum):
    """The formats of product files."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    XLSX = "xlsx"
    PARQUET = "parquet"


_SUFFIXES = {
    ".csv": Kind.CSV,
    ".jsonl": Kind.JSON_LINES,
    ".ndjson": Kind.JSON_LINES,
    ".xlsx": Kind.XLSX,
    ".xlsm": Kind.XLSX,
    ".parquet": Kind.PARQUET,
}
_BINARY = {Found.WORKBOOK: Kind.XLSX, Found.PARQUET: Kind.PARQUET}


def open_product_rows(
    path: str | Path,
    *,
    encoding: str | None = None,
    kind: str | None = None,
    sheet: str | None = None,
    limits: Limits | None = None,
) -> ProductRows:
    """Open a product file: look through it once, and give its rows as often as they are wanted.

    XLSX and Parquet are known by their content, whatever they are called. Of text, `kind` says
    `csv` or `jsonl`; without it the suffix tells (.csv, .jsonl, .ndjson). CSV is in UTF-8 or
    GB 18030, which is found out when `encoding` does not say it; JSON Lines in UTF-8. Of a
    workbook the sheet with the name `sheet` is read, or else the first that is not hidden, and
    no other. `limits` are the caps on XLSX and Parquet.

    Raises `UnusableInput` when the file as a whole is unusable, with every fault that was found,
    and its place and figure: `file_not_found`, `not_a_file`, `file_unreadable`, `format_unknown`,
    `format_differs`, `format_unsupported`, `extra_missing`, `file_empty`, `file_encrypted`,
    `file_malformed`, `limit_exceeded`, `sheet_missing`, `wrong_encoding`, `nul_byte`,
    `line_too_long`, `quote_unterminated`, `column_missing`, `column_repeated`, `column_unnamed`,
    `column_type_unsupported`, `header_malformed`.
    `InvalidValue`: `encoding_unknown` for an encoding that is neither, or of a format that has
    only one.
    """
    path = Path(path)
    named = _named(path, kind)
    limits = limits or Limits()
    with _opened(path) as file:
        seen = _signature(file)
        chosen = _kind_of(file, path.name, named, said=kind is not None)
        if sheet is not None and chosen is not Kind.XLSX:
            raise UnusableInput(
                reason("sheet_missing", file=path.name, sheet=shown(sheet), sheets=[])
            )
        if chosen is Kind.CSV:
            opened = open_csv(file, path.name, encoding)
        elif chosen is Kind.JSON_LINES:
            opened = open_json_lines(file, path.name, encoding)
        else:
            if encoding is not None:
                raise InvalidValue(reason("encoding_unknown", encoding=shown(encoding)))
            opened = _open_binary(file, path.name, chosen, sheet, limits)
    written_in, columns, read = opened
    return ProductRows(path, chosen, written_in, columns, read, seen)


def _open_binary(
    file: BinaryIO, name: str, kind: Kind, sheet: str | None, limits: Limits
) -> tuple[str, tuple[str, ...], Callable[[BinaryIO], Iterator[ProductRow]]]:
    """Open a format whose library is an extra: it is loaded only now."""
    try:
        if kind is Kind.XLSX:
            from consignment.adapters.files.xlsx import open_workbook  # noqa: PLC0415 - an extra

            return open_workbook(file, name, sheet, limits)
        from consignment.adapters.files.parquet import open_parquet  # noqa: PLC0415 - an extra

        return open_parquet(file, name, limits)
    except ModuleNotFoundError as error:
        raise UnusableInput(
            reason("extra_missing", file=name, format=kind.value, extra=f"consignment[{kind}]")
        ) from error


@frozen
class ProductRows:
    """The rows of a product file; see `ports.product_rows`. Each pass opens the file anew.

    A pass raises `UnusableInput` (`file_changed`) when the file is no longer the one that was
    looked through.
    """

    path: Path
    kind: Kind
    #: What the file's text is written in: `utf-8` or `gb18030`.
    encoding: str
    #: The columns, in their order; none of JSON Lines.
    columns: tuple[str, ...]
    _read: Callable[[BinaryIO], Iterator[ProductRow]] = field(repr=False)
    _seen: tuple[int, ...] = field(repr=False)

    def __iter__(self) -> Iterator[ProductRow]:
        with _opened(self.path) as file:
            if _signature(file) != self._seen:
                raise self._changed()
            try:
                yield from self._read(file)
            except UnicodeDecodeError as error:
                raise self._changed() from error

    def _changed(self) -> UnusableInput:
        return UnusableInput(reason("file_changed", file=self.path.name))


def _named(path: Path, kind: str | None) -> Kind | None:
    if kind is None:
        return _SUFFIXES.get(path.suffix.lower())
    if kind not in list(Kind):
        _unknown(path.name)
    return Kind(kind)


def _kind_of(file: BinaryIO, name: str, named: Kind | None, *, said: bool) -> Kind:
    """Tell the format by the content; what is text is what it is said or named to be."""
    found = look(file, name)
    binary = _BINARY.get(found)
    if binary is None and named is None:
        _unknown(name)
    if binary is None and named in _BINARY.values():
        if found is Found.NOTHING:
            raise UnusableInput(reason("file_empty", file=name))
        raise UnusableInput(reason("format_differs", file=name, format=named, found="text"))
    if binary is not None and said and named is not binary:
        raise UnusableInput(reason("format_differs", file=name, format=named, found=binary.value))
    chosen = binary or named
    assert chosen is not None  # noqa: S101 - one of them is, or it was refused
    return chosen


def _unknown(name: str) -> NoReturn:
    raise UnusableInput(reason("format_unknown", file=name, formats=[each.value for each in Kind]))


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
