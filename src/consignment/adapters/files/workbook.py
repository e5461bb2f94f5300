"""What a workbook says of itself: its sheets, its texts, its number formats."""

from __future__ import annotations

import posixpath
from array import array
from collections.abc import Sequence

from attrs import field, frozen

from consignment.adapters.files.markup import Markup, local
from consignment.adapters.files.package import Package, malformed
from consignment.domain.errors import UnusableInput, reason
from consignment.formats.faults import shown

__all__ = ["Book", "read_book"]

_WORKBOOK = "xl/workbook.xml"
_RELATIONS = "xl/_rels/workbook.xml.rels"
#: What else a zip can be, by a part of it.
_OTHERS = {
    "xl/workbook.bin": "xlsb",
    "mimetype": "ods",
    "word/document.xml": "docx",
    "ppt/presentation.xml": "pptx",
}
_MAX_STYLES = 65_536
_MAX_FORMAT = 255
_MAX_SHOWN_SHEETS = 20


@frozen
class Book:
    """What is needed of a workbook to read one of its sheets."""

    sheet: str
    sheet_part: str
    #: Whether days are counted from 1904.
    from_1904: bool
    #: The number format of each cell style, and the codes of those that are the workbook's own.
    styles: Sequence[int]
    formats: dict[int, str]
    #: The part with the shared texts, from where to where in it they stand, and their lengths.
    shared_part: str | None
    shared_span: tuple[int, int]
    shared_lengths: Sequence[int] = field(repr=False)


def read_book(package: Package, sheet: str | None) -> Book:
    """Read what is around a sheet: that of a name, or the first that is not hidden.

    Raises `UnusableInput`: `format_unsupported` for a zip that is no XLSX, `sheet_missing`,
    `file_malformed`, `limit_exceeded`.
    """
    if _WORKBOOK not in package:
        found = next((kind for part, kind in _OTHERS.items() if part in package), "zip")
        raise UnusableInput(reason("format_unsupported", file=package.file, found=found))
    workbook = _Workbook(package, _WORKBOOK)
    workbook.go(package.pieces(_WORKBOOK, "about_bytes"))
    relations = _Relations(package, _RELATIONS)
    if _RELATIONS in package:
        relations.go(package.pieces(_RELATIONS, "about_bytes"))
    name, part = _chosen(package, workbook, relations, sheet)
    styles = _Styles(package, relations.first("styles") or "xl/styles.xml")
    if styles.part in package:
        styles.go(package.pieces(styles.part, "about_bytes"))
    shared = _Shared(package, relations.first("sharedStrings") or "xl/sharedStrings.xml")
    if shared.part in package:
        shared.go(package.pieces(shared.part, "shared_bytes"))
    return Book(
        name,
        part,
        workbook.from_1904,
        styles.of_cells,
        styles.formats,
        shared.part if shared.lengths else None,
        shared.span,
        shared.lengths,
    )


def _chosen(
    package: Package, workbook: _Workbook, relations: _Relations, wanted: str | None
) -> tuple[str, str]:
    """Find the sheet: its name, and its part."""
    there = []
    for name, relation, hidden in workbook.sheets:
        kind, part = relations.targets.get(relation, ("", ""))
        if kind != "worksheet":
            continue
        there.append(name)
        if name == wanted or (wanted is None and not hidden):
            if part not in package:
                raise malformed(package.file, name, f"its part is not there: {part}")
            return name, part
    details = {} if wanted is None else {"sheet": shown(wanted)}
    sheets = [shown(each) for each in there[:_MAX_SHOWN_SHEETS]]
    raise UnusableInput(reason("sheet_missing", file=package.file, **details, sheets=sheets))


class _Workbook(Markup):
    """The sheets: name, relation, whether hidden."""

    def __init__(self, package: Package, part: str) -> None:
        super().__init__(package, part)
        self.from_1904 = False
        self.sheets: list[tuple[str, str, bool]] = []

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "workbookPr":
            self.from_1904 = attributes.get("date1904") in ("1", "true", "on")
        elif name == "sheet":
            relation = next((v for k, v in attributes.items() if local(k) == "id"), "")
            hidden = attributes.get("state", "visible") != "visible"
            self.sheets.append((attributes.get("name", ""), relation, hidden))


class _Relations(Markup):
    """Which part each relation of the workbook leads to, and what it is."""

    def __init__(self, package: Package, part: str) -> None:
        super().__init__(package, part)
        self.targets: dict[str, tuple[str, str]] = {}

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            kind = attributes.get("Type", "").rpartition("/")[2]
            target = posixpath.normpath(posixpath.join("/xl", attributes.get("Target", "")))
            self.targets[attributes.get("Id", "")] = (kind, target.lstrip("/"))

    def first(self, kind: str) -> str | None:
        """Give the part of a kind."""
        return next((part for each, part in self.targets.values() if each == kind), None)


class _Styles(Markup):
    """The number format of each style of cells: it tells a day from a number."""

    def __init__(self, package: Package, part: str) -> None:
        super().__init__(package, part)
        self.formats: dict[int, str] = {}
        self.of_cells = array("I")
        self._in_cells = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt":
            code = attributes.get("formatCode", "")
            if len(code) > _MAX_FORMAT or len(self.formats) >= _MAX_STYLES:
                self.refuse("has a number format too long, or too many")
            self.formats[self._number(attributes.get("numFmtId", ""))] = code
        elif name == "cellXfs":
            self._in_cells = True
        elif name == "xf" and self._in_cells:
            if len(self.of_cells) >= _MAX_STYLES:
                self.refuse(f"has more than {_MAX_STYLES} styles")
            self.of_cells.append(self._number(attributes.get("numFmtId", "0")))

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._in_cells = False

    def _number(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004 - 32 bits
            self.refuse("has a number format that is no number")
        return int(text)


class _Shared(Markup):
    """How long the shared texts are, and where in their part they begin and end."""

    def __init__(self, package: Package, part: str) -> None:
        super().__init__(package, part, plain=True)
        self.lengths = array("I")
        self.span = (0, 0)
        self._length = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002 - as in Markup
        if self.depth == 1 or name not in ("si", "t"):
            return
        if name == "t":
            self.take(self._text)
        elif self.depth == 2:  # noqa: PLR2004 - right below the root
            if not self.lengths:
                self.span = (self.parser.CurrentByteIndex, 0)
            self._length = self.strayed = 0
            self.lengths.append(0)
            if len(self.lengths) > self.limits.shared_texts:
                self.limits.check("shared_texts", len(self.lengths), self.file, self.part)
        else:
            self.refuse("has a text within a text")

    def end(self, name: str) -> None:
        if name == "t":
            self.take(None)
        elif name == "si":
            self.lengths[-1] = self._length
        elif self.depth == 1:
            self.span = (self.span[0], self.parser.CurrentByteIndex)

    def _text(self, data: str) -> None:
        self._length += len(data)
        if self._length > self.limits.cell_characters:
            place = f"{self.part}: text {len(self.lengths)}"
            self.limits.check("cell_characters", self._length, self.file, place)
