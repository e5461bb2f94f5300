"""Rows of XLSX workbooks.

calamine reads the values, and gets to see nothing of the stranger's archive: only a workbook that
is made here, of what was scanned before. It makes room for as many texts as a table says that it
has, and ends the process when there is not that much; and it builds a grid of a whole sheet. So
the table's own figures are left out, and the sheet is given in bands of rows, each a sheet of its
own.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, BinaryIO
from xml.sax.saxutils import quoteattr
from zipfile import ZIP_DEFLATED, ZipFile

from attrs import frozen
from python_calamine import CalamineError, CalamineWorkbook

from consignment.adapters.files.cells import day_text, number_text
from consignment.adapters.files.columns import column_faults
from consignment.adapters.files.limits import Limits
from consignment.adapters.files.package import PIECE, Package, malformed, open_package
from consignment.adapters.files.sheet import Sheet, column_letters, scan_sheet
from consignment.adapters.files.workbook import Book, read_book
from consignment.domain.errors import Reason, UnusableInput, reason
from consignment.formats.faults import shown
from consignment.ports.product_rows import ProductRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["open_workbook"]

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


def open_workbook(
    file: BinaryIO, name: str, sheet: str | None, limits: Limits
) -> tuple[str, tuple[str, ...], Callable[[BinaryIO], Iterator[ProductRow]]]:
    """Look through a workbook; give its encoding, its columns, and what passes over its rows."""
    package = open_package(file, name, limits)
    book = read_book(package, sheet)
    source = _Source(name, limits, book, scan_sheet(package, book))
    try:
        with source.opened(package) as workbook:
            for band in range(len(source.sheet.bands)):
                # Whatever cannot be read has to come out before the first row is given.
                workbook.get_sheet_by_index(band)
            header = next(source.lines(workbook), None)
    except CalamineError as error:
        raise malformed(name, book.sheet, str(error)) from error
    if header is None:
        raise UnusableInput(reason("file_empty", file=name))
    columns = source.header(*header)
    return "utf-8", columns, lambda again: source.rows(again, columns)


class _Unreadable(Exception):
    """A cell of a row that cannot be taken."""

    def __init__(self, column: int, fault: Callable[[str], Reason]) -> None:
        self.column = column
        self.fault = fault


@frozen
class _Source:
    """A sheet that was scanned: how its rows are got out of the file."""

    name: str
    limits: Limits
    book: Book
    sheet: Sheet

    def header(self, line: int, cells: Sequence[Any]) -> tuple[str, ...]:
        """Read the columns' names; what is blank to the right of the last does not count."""
        try:
            columns = self.texts(line, cells)
        except _Unreadable as error:
            problem = str(error.fault(column_letters(error.column)))
            raise UnusableInput(
                reason("header_malformed", file=self.name, line=line, problem=problem)
            ) from error
        while columns and not columns[-1]:
            columns.pop()
        if faults := list(column_faults(columns, self.name)):
            raise UnusableInput(faults)
        return tuple(columns)

    def rows(self, file: BinaryIO, columns: tuple[str, ...]) -> Iterator[ProductRow]:
        """Pass over the rows below the header."""
        width = len(columns)
        package = open_package(file, self.name, self.limits)
        with self.opened(package) as workbook:
            lines = self.lines(workbook)
            next(lines)
            for number, (line, cells) in enumerate(lines, start=1):
                try:
                    texts = self.texts(line, cells)
                except _Unreadable as error:
                    at = error.column
                    column = columns[at] if at < width else column_letters(at)
                    yield ProductRow(number, line, {}, error.fault(shown(column)))
                    continue
                if len(texts) < width:
                    texts += [""] * (width - len(texts))
                values: dict[str | None, Any] = dict(zip(columns, texts, strict=False))
                if more := [text for text in texts[width:] if text]:
                    values[None] = more
                yield ProductRow(number, line, values)

    def texts(self, line: int, cells: Sequence[Any]) -> list[str]:
        """Give a row's cells as text. Raises `_Unreadable` for the first that cannot be."""
        if bad := self.sheet.fault_in(line):
            column, error = bad
            if error is None:
                raise _Unreadable(
                    column, lambda name: reason("formula_not_calculated", column=name)
                )
            raise _Unreadable(column, lambda name: reason("cell_error", column=name, value=error))
        return [
            cell if cell.__class__ is str else _text(column, cell)
            for column, cell in enumerate(cells)
        ]

    def lines(self, workbook: CalamineWorkbook) -> Iterator[tuple[int, list[Any]]]:
        """Give the rows that are not blank: the row of the sheet, and its cells from column A.

        A row in which nothing but errors and formulas without a value is comes without cells.
        """
        before = 0
        for line, cells in self._filled(workbook):
            for bad in self.sheet.bad_between(before, line):
                yield bad, []
            yield line, cells
            before = line
        for bad in self.sheet.bad_between(before, self.limits.rows + 1):
            yield bad, []

    def _filled(self, workbook: CalamineWorkbook) -> Iterator[tuple[int, list[Any]]]:
        for band in range(len(self.sheet.bands)):
            sheet = workbook.get_sheet_by_index(band)
            if sheet.start is None:
                continue
            top, left = sheet.start
            for line, cells in enumerate(sheet.to_python(skip_empty_area=True), start=top + 1):
                if cells.count("") < len(cells):
                    yield line, [""] * left + cells

    @contextmanager
    def opened(self, package: Package) -> Iterator[CalamineWorkbook]:
        """Open the scanned part of a workbook: a file of its own, for as long as it is read."""
        with TemporaryDirectory(prefix="consignment-") as folder:
            path = Path(folder) / "sheet.xlsx"
            with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as clean:
                self._write(package, clean)
            with CalamineWorkbook.from_path(str(path)) as workbook:
                yield workbook

    def _write(self, package: Package, clean: ZipFile) -> None:
        bands = self.sheet.bands
        for part, text in _about(self.book, len(bands)):
            clean.writestr(part, text)
        if self.book.shared_part is not None:
            begin, end = self.book.shared_span
            with (
                package.stream(self.book.shared_part) as source,
                clean.open("xl/sharedStrings.xml", "w") as target,
            ):
                target.write(f'<sst xmlns="{_MAIN}">'.encode())
                _skip(source, begin)
                _copy(source, target, end - begin)
                target.write(b"</sst>")
        with package.stream(self.book.sheet_part) as source:
            position = 0
            for number, band in enumerate(bands):
                with clean.open(f"xl/worksheets/sheet{number}.xml", "w") as target:
                    target.write(f'<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
                    if band.row_before:
                        # Rows without a number are counted from here.
                        target.write(f'<row r="{band.row_before}"></row>'.encode())
                    for begin, end in self.sheet.pieces_of(band):
                        _skip(source, begin - position)
                        _copy(source, target, end - begin)
                        position = end
                    target.write(b"</sheetData></worksheet>")


def _text(column: int, cell: object) -> str:
    if cell is True or cell is False:
        # As the spreadsheet shows it, and writes it into CSV.
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float | int):
        text = number_text(float(cell))
        if text is None:
            raise _Unreadable(
                column, lambda name: reason("digits_lost", column=name, value=repr(cell))
            )
        return text
    return day_text(cell)


def _skip(source: IO[bytes], size: int) -> None:
    while size > 0:
        size -= len(source.read(min(PIECE, size))) or size


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size > 0 and (piece := source.read(min(PIECE, size))):
        target.write(piece)
        size -= len(piece)


def _about(book: Book, bands: int) -> Iterator[tuple[str, str]]:
    """Give the parts around the bands."""
    yield "_rels/.rels", _relations([("officeDocument", "xl/workbook.xml")])
    targets = [("worksheet", f"worksheets/sheet{number}.xml") for number in range(bands)]
    about = [("styles", "styles.xml"), ("sharedStrings", "sharedStrings.xml")]
    yield "xl/_rels/workbook.xml.rels", _relations([*targets, *about])
    sheets = "".join(
        f'<sheet name="{number}" sheetId="{number + 1}" r:id="r{number}"/>'
        for number in range(bands)
    )
    about_sheets = (
        f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
        f'<workbookPr date1904="{int(book.from_1904)}"/><sheets>{sheets}</sheets></workbook>'
    )
    yield "xl/workbook.xml", about_sheets
    formats = "".join(
        f'<numFmt numFmtId="{number}" formatCode={quoteattr(code)}/>'
        for number, code in book.formats.items()
    )
    cells = "".join(f'<xf numFmtId="{number}"/>' for number in book.styles)
    about_cells = (
        f'<styleSheet xmlns="{_MAIN}"><numFmts>{formats}</numFmts>'
        f"<cellXfs>{cells}</cellXfs></styleSheet>"
    )
    yield "xl/styles.xml", about_cells


def _relations(targets: list[tuple[str, str]]) -> str:
    each = "".join(
        f'<Relationship Id="r{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets)
    )
    return f'<Relationships xmlns="{_RELATIONS}">{each}</Relationships>'
