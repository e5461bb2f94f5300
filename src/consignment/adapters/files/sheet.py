"""The scan of a sheet: how far its cells reach, and whether each of them can be read.

A library that builds a grid needs room for every cell up to the last one, and a copy of a shared
text for each cell that refers to it. So the sheet is gone through first, and cut into bands of
rows that need little, whatever is in it.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from string import ascii_uppercase
from typing import TYPE_CHECKING

from attrs import field, frozen

from consignment.adapters.files.markup import Markup, local

if TYPE_CHECKING:
    from consignment.adapters.files.package import Package
    from consignment.adapters.files.workbook import Book

__all__ = ["ERRORS", "Band", "Sheet", "column_letters", "scan_sheet"]

#: The errors that libraries know.
ERRORS = ("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#GETTING_DATA")

#: A band ends after so many rows, empty ones counted, or so many characters.
_BAND_ROWS = 2048
_BAND_CHARACTERS = 4 * 1024 * 1024

_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
#: Others that spreadsheet programs have or will have: #SPILL!, #CALC!, #FIELD!, …
_ERROR = re.compile(r"#[A-Z0-9/_]{1,30}[!?]?", re.ASCII)
#: So many cells with others are taken out of a sheet, and so many kinds are told apart.
_MAX_OTHERS = 100_000
_MAX_ERRORS = 1_000
_ROW = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_DIGITS = "0123456789"
_TYPES = frozenset({"n", "s", "str", "inlineStr", "b", "e", "d"})
_MAX_NUMBER_LENGTH = 400
_MAX_DIGITS = 10
_LAST_COLUMN = 16_384
_PLACES = 65_536

#: How deep each element has to be: libraries take it wherever it is.
_DEPTHS = {"sheetData": 2, "row": 3, "c": 4, "v": 5, "is": 5}


@frozen
class Band:
    """Rows of a sheet that are read together: bytes of its part, and the row before the first."""

    begin: int
    end: int
    row_before: int


@frozen
class Sheet:
    """What the scan found."""

    bands: Sequence[Band] = field(repr=False)
    #: Rows with a cell that has no value to read, in order, and for each row its first such cell:
    #: the column from 0, times 65536, plus the error (from 1, in `_errors`) or 0 for a formula
    #: without a value.
    _bad_rows: Sequence[int] = field(repr=False)
    _bad_cells: Sequence[int] = field(repr=False)
    _errors: Sequence[str] = field(repr=False)
    #: Bytes of the part that are errors no library knows: where each begins and ends, in order.
    _gaps: Sequence[int] = field(repr=False)

    def bad_between(self, after: int, before: int) -> Sequence[int]:
        """Give the rows with such a cell between two rows."""
        bad = self._bad_rows
        return bad[bisect_right(bad, after) : bisect_left(bad, before)]

    def fault_in(self, row: int) -> tuple[int, str | None] | None:
        """Give the column, from 0, of a row's first cell without a value, and its error."""
        at = bisect_left(self._bad_rows, row)
        if at == len(self._bad_rows) or self._bad_rows[at] != row:
            return None
        column, error = divmod(self._bad_cells[at], _PLACES)
        return column, self._errors[error - 1] if error else None

    def pieces_of(self, band: Band) -> Iterator[tuple[int, int]]:
        """Give where the bytes of a band begin and end that a library can read."""
        gaps = self._gaps
        begin = band.begin
        for at in range(bisect_left(gaps, band.begin), bisect_left(gaps, band.end), 2):
            yield begin, gaps[at]
            begin = gaps[at + 1]
        yield begin, band.end


def scan_sheet(package: Package, book: Book) -> Sheet:
    """Go through a sheet. Raises `UnusableInput`: `file_malformed`, `limit_exceeded`."""
    scan = _Scan(package, book)
    scan.go(package.pieces(book.sheet_part))
    scan.finish()
    return Sheet(scan.bands, scan.bad_rows, scan.bad_cells, tuple(scan.errors), scan.gaps)


@cache
def _columns() -> dict[str, int]:
    """Give the columns, from 0, by their letters: A to XFD."""
    names = ("".join(each) for n in (1, 2, 3) for each in product(ascii_uppercase, repeat=n))
    return {name: i for i, name in zip(range(_LAST_COLUMN), names, strict=False)}


def column_letters(column: int) -> str:
    """Give the letters of a column, from 0: A, B, …, XFD."""
    return next(letters for letters, i in _columns().items() if i == column)


class _Scan(Markup):
    """Within `sheetData` at depth 2 there are rows, within these cells, within these values.

    Cells and values are millions: `_begin`, `_end` and `_text` take them without a call between.
    """

    def __init__(self, package: Package, book: Book) -> None:
        self.bands: list[Band] = []
        self.bad_rows = array("I")
        self.bad_cells = array("I")
        self.errors = {error: i for i, error in enumerate(ERRORS, start=1)}
        self.gaps = array("Q")
        self._sheet = book.sheet
        self._lengths = book.shared_lengths
        self._known = _columns()
        # Where it is.
        self._within = False
        self._ended = False
        self._row = 0
        self._row_text = ""
        self._column = -1
        # The cell: its type, its value and how long it is, and whether it has a formula.
        self._type = "n"
        self._value: str | None = None
        self._value_at = 0
        self._reading = False
        self._formula = False
        self._deepest = package.limits.depth
        self._last_column = package.limits.columns - 1
        self._longest = package.limits.cell_characters
        # The band, and all.
        self._begin_at = -1
        self._first_row = 1
        self._row_before = 0
        self._band_characters = 0
        self._characters = 0
        super().__init__(package, book.sheet_part, plain=True)
        self.take(self._text)

    def finish(self) -> None:
        """Refuse what is no sheet."""
        if not self._ended:
            self.refuse("has no sheetData")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if not self._within:
            super()._begin(name, attributes)
            return
        self.depth = depth = self.depth + 1
        if ":" in name:
            name = local(name)
        if depth > self._deepest:
            self.limits.check("depth", depth, self.file, self._place)
        if depth != _DEPTHS.get(name, depth):
            self.refuse(f"has {name} where it should not be", self._place)
        if name == "c":
            self._begin_cell(attributes)
        elif name in ("v", "is"):
            self._begin_value(name)
        elif name == "row":
            self._begin_row(attributes)
        elif name == "t":
            self._reading = self._value is not None
        elif name == "f":
            self._formula = True

    def _end(self, name: str) -> None:
        if not self._within:
            super()._end(name)
            return
        self.depth -= 1
        if ":" in name:
            name = local(name)
        if name in ("v", "t"):
            self._reading = False
        elif name == "c":
            self._end_cell()
        elif name == "sheetData":
            self._within = False
            self._ended = True
            self._cut()

    def begin(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002 - as in Markup
        if name == "sheetData":
            if self._ended or self.depth != _DEPTHS[name]:
                self.refuse("has sheetData where it should not be")
            self._within = True

    @property
    def _place(self) -> str:
        letters = column_letters(self._column) if self._column >= 0 else ""
        return f"{self._sheet}!{letters}{self._row}"

    def _begin_row(self, attributes: dict[str, str]) -> None:
        before = self._row
        number = attributes.get("r")
        if number is None:
            self._row += 1
        else:
            if not _ROW.fullmatch(number) or int(number) <= before:
                self.refuse(f"has row {number[:20]} behind row {before}", self._place)
            self._row = int(number)
        self._row_text = str(self._row)
        self._column = -1
        self.strayed = 0
        self.limits.check("rows", self._row, self.file, self._place)
        if (
            self._begin_at < 0
            or self._row - self._first_row >= _BAND_ROWS
            or self._band_characters > _BAND_CHARACTERS
        ):
            self._cut()
            self._begin_at = self.parser.CurrentByteIndex
            self._row_before = before
            self._first_row = self._row
            self._band_characters = 0

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        self._value = None
        self._formula = False
        self._type = attributes.get("t", "n")
        reference = attributes.get("r")
        if reference is None:
            self._column += 1
            return
        letters = reference.rstrip(_DIGITS)
        column = self._known.get(letters, -1)
        if column <= self._column or reference[len(letters) :] != self._row_text:
            self.refuse(f"has cell {reference[:20]} behind this one", self._place)
        self._column = column

    def _begin_value(self, name: str) -> None:
        """Take a value. Cells without one, which have only a style, need no room."""
        if self._value is not None:
            self.refuse("has two values", self._place)
        if self._column > self._last_column:
            self.limits.check("columns", self._column + 1, self.file, self._place)
        self._value = ""
        self._reading = name == "v"
        if self._type == "e":
            self._value_at = self.parser.CurrentByteIndex

    def _cut(self) -> None:
        if self._begin_at >= 0:
            here = self.parser.CurrentByteIndex
            self.bands.append(Band(self._begin_at, here, self._row_before))

    def _text(self, data: str) -> None:
        if not self._reading:
            self._stray(data)
            return
        value = self._value = self._value + data if self._value else data
        if len(value) > self._longest:
            self.limits.check("cell_characters", len(value), self.file, self._place)

    def _end_cell(self) -> None:
        value = self._value
        if value is None or not (value or self._type == "s"):
            if self._formula:
                self._bad(0)
            if self._type not in _TYPES:
                self.refuse(f"has a cell of type {self._type[:20]}", self._place)
            return
        if self._type == "s":
            if not (value.isascii() and value.isdigit() and len(value) < _MAX_DIGITS):
                self.refuse(f"has {value[:20]!r} as a shared text", self._place)
            index = int(value)
            if index >= len(self._lengths):
                self.refuse(f"has shared text {index}, of {len(self._lengths)}", self._place)
            length = self._lengths[index]
        else:
            length = len(value)
            self._check(self._type, value)
        self._band_characters += length
        self._characters += length
        if self._characters > self.limits.text_characters:
            self.limits.check("text_characters", self._characters, self.file, self._place)

    def _check(self, kind: str, value: str) -> None:
        """Check that a value is one of its type: the library gives up on the sheet otherwise."""
        if kind == "n":
            if len(value) > _MAX_NUMBER_LENGTH or not _NUMBER.fullmatch(value):
                self.refuse(f"has {value[:20]!r} as a number", self._place)
        elif kind == "e":
            if value not in ERRORS:
                self._leave_out(value)
            self._bad(self.errors[value])
        elif kind == "b":
            if value not in ("0", "1"):
                self.refuse(f"has {value[:20]!r} as a truth value", self._place)
        elif kind not in _TYPES:
            self.refuse(f"has a cell of type {kind[:20]}", self._place)

    def _leave_out(self, error: str) -> None:
        """Keep the value of a cell that ends here from the library, which would give up."""
        if not _ERROR.fullmatch(error):
            self.refuse(f"has {error[:20]!r} as an error", self._place)
        if len(self.gaps) == 2 * _MAX_OTHERS or len(self.errors) == _MAX_ERRORS:
            self.refuse(f"has too many errors such as {error}", self._place)
        self.errors.setdefault(error, len(self.errors) + 1)
        self.gaps.extend((self._value_at, self.parser.CurrentByteIndex))

    def _bad(self, what: int) -> None:
        if not self.bad_rows or self.bad_rows[-1] != self._row:
            self.bad_rows.append(self._row)
            self.bad_cells.append(self._column * _PLACES + what)
