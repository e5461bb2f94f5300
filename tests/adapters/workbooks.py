"""Workbooks (XLSX) to test with: good ones, and ones that no program would write."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr
from zipfile import ZIP_DEFLATED, ZipFile

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = [
    "Raw",
    "Value",
    "letters",
    "lying_sizes",
    "parts_of",
    "rows_xml",
    "sheet_xml",
    "write_parts",
    "write_workbook",
]

_NS = (
    'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
_RELATIONS = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_STYLES = (
    f'<styleSheet {_NS}><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy-mm-dd"/>'
    '</numFmts><cellXfs count="4"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/>'
    '<xf numFmtId="46"/></cellXfs></styleSheet>'
)


@frozen
class Raw:
    """A cell as XML; `{r}` in it is the cell's reference."""

    xml: str


Value = str | float | bool | date | Raw | None


def letters(column: int) -> str:
    """Give a column's letters, from 1."""
    found = ""
    while column:
        column, rest = divmod(column - 1, 26)
        found = chr(65 + rest) + found
    return found


def _text(value: str) -> str:
    return f'<t xml:space="preserve">{escape(value).replace(chr(13), "&#13;")}</t>'


def _cell(reference: str, value: Value, shared: dict[str, int]) -> str:
    match value:
        case None:
            return ""
        case Raw():
            return value.xml.replace("{r}", reference)
        case bool():
            return f'<c r="{reference}" t="b"><v>{int(value)}</v></c>'
        case str():
            index = shared.setdefault(value, len(shared))
            return f'<c r="{reference}" t="s"><v>{index}</v></c>'
        case date():
            since = value if isinstance(value, datetime) else datetime(*value.timetuple()[:3])  # noqa: DTZ001 - days have no zone
            days = (since - datetime(1899, 12, 30)).total_seconds() / 86_400  # noqa: DTZ001 - likewise
            return f'<c r="{reference}" s="2"><v>{days:.17g}</v></c>'
        case _:
            # Spreadsheets write 17 digits where they are needed, and this is what they write.
            return f'<c r="{reference}"><v>{value:.17G}</v></c>'


def rows_xml(rows: Mapping[int, Sequence[Value]], shared: dict[str, int]) -> Iterable[str]:
    """Give the XML of rows by their number; `shared` collects the texts."""
    for number, cells in rows.items():
        inner = "".join(
            _cell(f"{letters(column)}{number}", value, shared)
            for column, value in enumerate(cells, start=1)
        )
        yield f'<row r="{number}">{inner}</row>'


def sheet_xml(rows: str) -> str:
    """Give a sheet of rows."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f"{head}<worksheet {_NS}><sheetData>{rows}</sheetData></worksheet>"


def parts_of(
    rows: Iterable[Sequence[Value]] | Mapping[int, Sequence[Value]],
    *,
    name: str = "商品",
    more: Sequence[tuple[str, str]] = (),
) -> dict[str, str | bytes]:
    """Give a workbook's parts. `more` are sheets before it: name and state."""
    numbered = rows if isinstance(rows, Mapping) else dict(enumerate(rows, start=1))
    shared: dict[str, int] = {}
    sheet = sheet_xml("".join(rows_xml(numbered, shared)))
    names = [*more, (name, "visible")]
    sheets = "".join(
        f'<sheet name={quoteattr(each)} sheetId="{i}" state="{state}" r:id="rId{i}"/>'
        for i, (each, state) in enumerate(names, start=1)
    )
    relations = "".join(
        f'<Relationship Id="rId{i}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(names) + 1)
    )
    texts = "".join(f"<si>{_text(each)}</si>" for each in shared)
    return {
        "[Content_Types].xml": "<Types/>",
        "xl/workbook.xml": f"<workbook {_NS}><sheets>{sheets}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f"<Relationships {_RELATIONS}>{relations}</Relationships>",
        "xl/styles.xml": _STYLES,
        "xl/sharedStrings.xml": f'<sst {_NS} count="{len(texts)}">{texts}</sst>',
        **{f"xl/worksheets/sheet{i}.xml": sheet_xml("") for i in range(1, len(names))},
        f"xl/worksheets/sheet{len(names)}.xml": sheet,
    }


def write_parts(path: Path, parts: Mapping[str, str | bytes | Iterable[bytes]]) -> Path:
    """Zip parts; one that is an iterable is written piece by piece."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            with archive.open(part, "w") as target:
                whole = content.encode() if isinstance(content, str) else content
                for piece in [whole] if isinstance(whole, bytes) else whole:
                    target.write(piece)
    return path


def write_workbook(
    path: Path, rows: Iterable[Sequence[Value]] | Mapping[int, Sequence[Value]]
) -> Path:
    """Write a workbook of one sheet."""
    return write_parts(path, parts_of(rows))


def lying_sizes(data: bytes, part: str, size: int) -> bytes:
    """Give an archive in which a part is said to unpack to a size that it does not have."""
    changed = bytearray(data)
    name = part.encode()
    for signature, at_size, at_name in ((b"PK\x03\x04", 22, 30), (b"PK\x01\x02", 24, 46)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            if data[at + at_name : at + at_name + len(name)] == name:
                struct.pack_into("<I", changed, at + at_size, size)
    return bytes(changed)
