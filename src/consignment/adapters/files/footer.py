"""Parquet's footer, read before a library sees it, and told again without what is not needed.

pyarrow turns most of what is wrong with a footer into an exception, but ends the whole process for
some (statistics of sizes that do not fit, by `RowGroupMetaData.column`; a column that is not
there). So it is never asked about columns, and gets a footer of known fields only, each of its
type and in agreement with the others: no statistics, indexes, nor what is written by the hand of
strangers beside the schema.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from consignment.adapters.files.limits import Limits
from consignment.adapters.files.package import malformed
from consignment.adapters.files.thrift import (
    BINARY,
    BYTE,
    I32,
    I64,
    TRUTH,
    NotThrift,
    Shape,
    read,
    write,
)
from consignment.domain.errors import UnusableInput, reason
from consignment.formats.faults import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FOOTER", "MAGIC", "TRAILER", "Chunk", "Footer", "read_footer"]

#: The end of a file: the length of the footer before it, and the magic bytes.
TRAILER = struct.Struct("<I4s")
MAGIC = b"PAR1"

# The structs of parquet.thrift, by the numbers of their fields.
_NOTHING: dict[int, Shape] = {}
_UNIT = {1: _NOTHING, 2: _NOTHING, 3: _NOTHING}
_TIME: dict[int, Shape] = {1: TRUTH, 2: _UNIT}
_LOGICAL_TYPE: dict[int, Shape] = {
    **dict.fromkeys((1, 2, 3, 4, 6, 11, 12, 13, 14, 15), _NOTHING),
    5: {1: I32, 2: I32},
    7: _TIME,
    8: _TIME,
    10: {1: BYTE, 2: TRUTH},
}
_TYPE, _LENGTH, _REPETITION, _NAME, _CHILDREN, _CONVERTED, _LOGICAL = 1, 2, 3, 4, 5, 6, 10
_ELEMENT: dict[int, Shape] = {
    _TYPE: I32,
    _LENGTH: I32,
    _REPETITION: I32,
    _NAME: BINARY,
    _CHILDREN: I32,
    _CONVERTED: I32,
    7: I32,
    8: I32,
    _LOGICAL: _LOGICAL_TYPE,
}
_PATH, _CODEC, _VALUES, _UNCOMPRESSED, _COMPRESSED, _DATA_AT, _DICTIONARY_AT = 3, 4, 5, 6, 7, 9, 11
_CHUNK: dict[int, Shape] = {
    _TYPE: I32,
    2: [I32],
    _PATH: [BINARY],
    _CODEC: I32,
    _VALUES: I64,
    _UNCOMPRESSED: I64,
    _COMPRESSED: I64,
    _DATA_AT: I64,
    _DICTIONARY_AT: I64,
}
_ELSEWHERE, _FILE_AT, _ABOUT, _CRYPTO = 1, 2, 3, 8
_COLUMN: dict[int, Shape] = {_ELSEWHERE: BINARY, _FILE_AT: I64, _ABOUT: _CHUNK, _CRYPTO: _NOTHING}
_COLUMNS, _SIZE, _GROUP_ROWS = 1, 2, 3
_GROUP: dict[int, Shape] = {_COLUMNS: [_COLUMN], _SIZE: I64, _GROUP_ROWS: I64}
_KEY, _VALUE = 1, 2
_VERSION, _SCHEMA, _ROWS, _GROUPS, _PAIRS, _WRITER, _ENCRYPTION = 1, 2, 3, 4, 5, 6, 8
#: What is kept of a footer.
FOOTER: dict[int, Shape] = {
    _VERSION: I32,
    _SCHEMA: [_ELEMENT],
    _ROWS: I64,
    _GROUPS: [_GROUP],
    _PAIRS: [{_KEY: BINARY, _VALUE: BINARY}],
    _WRITER: BINARY,
    _ENCRYPTION: _NOTHING,
}

#: The pair in which Arrow keeps its own types.
_ARROW_SCHEMA = b"ARROW:schema"
_LONGEST_WRITER = 256
_MAX_DEPTH = 8
_REPEATED = 2
# The last number of each enumeration that is known.
_LAST_TYPE, _LAST_CODEC, _LAST_CONVERTED = 7, 7, 21


@frozen
class Chunk:
    """Where a column's pages of a row group are in the file, in bytes."""

    begin: int
    end: int
    #: The bytes of a value, of a column that has a fixed length; 0 of others.
    value_bytes: int


@frozen
class Footer:
    """What a footer says that was found to agree."""

    rows: int
    #: The chunk of each column, for each row group that has rows, by its number from 1.
    groups: Mapping[int, tuple[Chunk, ...]]
    #: A file of nothing but this footer, without what is not needed.
    clean: bytes


def read_footer(data: bytes, file_bytes: int, name: str, limits: Limits) -> Footer:
    """Read a footer; `file_bytes` is where it begins in the file.

    Raises `UnusableInput`: `file_malformed` with the place for what does not agree,
    `limit_exceeded` (`parquet_rows`, `columns`), `file_encrypted` for columns that are.
    """
    try:
        fields, _ = read(data, FOOTER)
    except NotThrift as error:
        raise malformed(name, "footer", "is not well-formed") from error
    return _Check(name, limits, file_bytes, fields).footer()


@frozen
class _Leaf:
    """A column: its path from the root, its type, and whether it has one value in each row."""

    path: list[bytes]
    kind: int
    value_bytes: int
    is_flat: bool


@frozen
class _Check:
    name: str
    limits: Limits
    file_bytes: int
    fields: dict[int, Any]

    def footer(self) -> Footer:
        """Check all, and give what is kept."""
        fields = self.fields
        if _ENCRYPTION in fields:
            raise UnusableInput(reason("file_encrypted", file=self.name))
        self._whole(fields, _VERSION, "footer", "version")
        rows = self._whole(fields, _ROWS, "footer", "rows")
        self.limits.check("parquet_rows", rows, self.name, "footer")
        leaves = list(self._leaves(fields.get(_SCHEMA, [])))
        self.limits.check("columns", len(leaves), self.name, "footer")
        groups: dict[int, tuple[Chunk, ...]] = {}
        filled = []
        rows_of_groups = 0
        for number, group in enumerate(fields.get(_GROUPS, []), start=1):
            place = f"row group {number}"
            self._whole(group, _SIZE, place, "bytes")
            if group_rows := self._whole(group, _GROUP_ROWS, place, "rows"):
                # One without rows has no pages, or says 0 for where they are.
                rows_of_groups += group_rows
                groups[number] = tuple(self._chunks(group, leaves, place))
                filled.append(group)
        self._agree(rows_of_groups == rows, "footer", f"{rows} rows, in groups {rows_of_groups}")
        fields[_GROUPS] = filled
        pairs = fields.get(_PAIRS, [])
        fields[_PAIRS] = [each for each in pairs if each.get(_KEY) == _ARROW_SCHEMA]
        if len(fields.get(_WRITER, b"")) > _LONGEST_WRITER:
            del fields[_WRITER]
        clean = write(fields, FOOTER)
        return Footer(rows, groups, MAGIC + clean + TRAILER.pack(len(clean), MAGIC))

    def _leaves(self, elements: list[dict[int, Any]]) -> Iterator[_Leaf]:
        """Go through the schema, a tree whose elements say how many follow as their children."""
        path: list[bytes] = []
        left = [1]
        flat = [True]
        for number, element in enumerate(elements):
            place = f"schema element {number}"
            while left and not left[-1]:
                left.pop()
                flat.pop()
                path = path[:-1]
            self._agree(bool(left), place, "is nobody's child")
            left[-1] -= 1
            kind, children = element.get(_TYPE), element.get(_CHILDREN, 0)
            # The root has a name that no path has.
            here = [*path, self._name(element, place)] if number else []
            repetition = element.get(_REPETITION, 0)
            is_flat = flat[-1] and repetition != _REPEATED
            self._agree(repetition in range(_REPEATED + 1), place, f"repetition {repetition}")
            converted = element.get(_CONVERTED, 0)
            self._agree(converted in range(_LAST_CONVERTED + 1), place, f"type {converted}")
            if children:
                self._agree(children > 0 and kind is None, place, f"{children} children")
                self._agree(len(left) < _MAX_DEPTH, place, "is too deep")
                left.append(children)
                flat.append(is_flat and not number)
                path = here
            else:
                self._agree(bool(number) and kind in range(_LAST_TYPE + 1), place, f"type {kind}")
                length = element.get(_LENGTH, 0)
                self._agree(length >= 0, place, f"length {length}")
                yield _Leaf(here, kind or 0, length, is_flat)
        self._agree(not any(left), "schema", "is cut off")

    def _name(self, element: Mapping[int, Any], place: str) -> bytes:
        self._agree(_NAME in element, place, "has no name")
        name: bytes = element[_NAME]
        return name

    def _chunks(
        self, group: Mapping[int, Any], leaves: list[_Leaf], group_place: str
    ) -> Iterator[Chunk]:
        columns = group.get(_COLUMNS, [])
        self._agree(
            len(columns) == len(leaves), group_place, f"{len(columns)} columns, not {len(leaves)}"
        )
        for leaf, column in zip(leaves, columns, strict=True):
            column_name = b".".join(leaf.path).decode(errors="replace")
            place = f"{group_place}, column {shown(column_name)}"
            if _CRYPTO in column:
                raise UnusableInput(reason("file_encrypted", file=self.name))
            self._agree(_ELSEWHERE not in column, place, "is in another file")
            column.setdefault(_FILE_AT, 0)
            about = column.get(_ABOUT, {})
            self._agree(about.get(_TYPE) == leaf.kind, place, "is not of the schema's type")
            self._agree(about.get(_PATH) == leaf.path, place, "has another path than the schema's")
            codec = self._whole(about, _CODEC, place, "codec")
            self._agree(codec <= _LAST_CODEC, place, f"codec {codec}")
            values, rows = self._whole(about, _VALUES, place, "values"), group[_GROUP_ROWS]
            self._agree(values == rows or not leaf.is_flat, place, f"{values} values, {rows} rows")
            self._whole(about, _UNCOMPRESSED, place, "uncompressed bytes")
            size = self._whole(about, _COMPRESSED, place, "bytes")
            begin = self._whole(about, _DATA_AT, place, "offset")
            # A dictionary that is not there is given as 0, or not at all.
            if _DICTIONARY_AT in about:
                begin = min(begin, self._whole(about, _DICTIONARY_AT, place, "offset") or begin)
            end = begin + size
            self._agree(
                begin >= len(MAGIC) and end <= self.file_bytes, place, f"bytes {begin} to {end}"
            )
            about.setdefault(2, [])
            yield Chunk(begin, end, leaf.value_bytes)

    def _whole(self, fields: Mapping[int, Any], field: int, place: str, what: str) -> int:
        """Give a number that has to be there, and not below 0."""
        value = fields.get(field)
        if value is None or value < 0:
            raise malformed(self.name, place, f"{what} {value}")
        number: int = value
        return number

    def _agree(self, holds: bool, place: str, problem: str) -> None:  # noqa: FBT001 - what has to be
        if not holds:
            raise malformed(self.name, place, problem)
