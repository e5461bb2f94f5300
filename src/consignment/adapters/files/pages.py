"""The headers of Parquet's pages: how much each page says that it unpacks to.

The metadata at the end of a file tells sums, and a library believes them; what it makes room for
is what each page's header says. So the headers are read first. A page cannot unpack to more than
its header says: that much room is made for it, and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from attrs import Factory, define

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NotAPage", "Page", "pages_of"]

#: The longest header, in bytes: it may hold the smallest and largest value.
_MAX_HEADER = 64 * 1024
_FIRST_READ = 512
_MAX_DEPTH = 8

# Types of thrift's compact protocol.
_STOP, _BYTE, _DOUBLE, _BINARY, _STRUCT = 0, 3, 7, 8, 12
_TRUTH = (1, 2)
_WHOLE = (4, 5, 6)
# Fields of `PageHeader` in parquet.thrift, and of the headers within it.
_TYPE, _UNCOMPRESSED, _COMPRESSED = 1, 2, 3
_DATA_HEADER, _DATA_HEADER_2 = 5, 8
_ENCODING, _ENCODING_2 = 2, 4
_DICTIONARY = 2
_DELTA_BYTE_ARRAY = 7


class Page(NamedTuple):
    """A page: its uncompressed size in bytes, and how its texts can be more than that.

    With a dictionary, and where texts are given by what they have in common with the one before,
    a long text takes no room in the file when it comes again.
    """

    size: int
    is_dictionary: bool
    is_delta: bool


class NotAPage(Exception):
    """What should be a page's header is none; `args[0]` says at which offset."""


class _More(Exception):
    """The header goes on behind the bytes that were read."""


def pages_of(file: BinaryIO, begin: int, end: int) -> Iterator[Page]:
    """Give the pages between two offsets of a file.

    Raises `NotAPage` where there is none.
    """
    at = begin
    if not 0 <= begin <= end:
        raise NotAPage(begin)
    while at < end:
        header, length = _header(file, at, end)
        size, compressed = header.get((_UNCOMPRESSED,), -1), header.get((_COMPRESSED,), -1)
        at += length + compressed
        if size < 0 or compressed < 0 or at > end:
            raise NotAPage(at)
        encodings = (
            header.get((_DATA_HEADER, _ENCODING)),
            header.get((_DATA_HEADER_2, _ENCODING_2)),
        )
        is_dictionary = header.get((_TYPE,)) == _DICTIONARY
        yield Page(size, is_dictionary, _DELTA_BYTE_ARRAY in encodings)


def _header(file: BinaryIO, at: int, end: int) -> tuple[dict[tuple[int, ...], int], int]:
    size = _FIRST_READ
    while size <= _MAX_HEADER:
        file.seek(at)
        data = file.read(min(size, end - at))
        reader = _Compact(data)
        try:
            reader.struct()
        except _More:
            if len(data) < size:
                break
            size *= 4
        else:
            return reader.found, reader.at
    raise NotAPage(at)


@define
class _Compact:
    """Reads a struct of thrift's compact protocol, keeping its whole numbers, by their path."""

    data: bytes
    at: int = 0
    found: dict[tuple[int, ...], int] = Factory(dict)

    def struct(self, path: tuple[int, ...] = ()) -> None:
        if len(path) > _MAX_DEPTH:
            raise _More
        field = 0
        while (head := self._byte()) != _STOP:
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            if kind not in _TRUTH:
                self._value(kind, (*path, field))

    def _value(self, kind: int, path: tuple[int, ...]) -> None:
        if kind == _STRUCT:
            self.struct(path)
        elif kind == _BINARY:
            self._forward(self._varint())
        elif kind in _WHOLE:
            self.found[path] = self._zigzag()
        elif kind == _DOUBLE:
            self._forward(8)
        elif kind == _BYTE:
            self._forward(1)
        else:
            # No header has a list, a set or a map.
            raise _More

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise _More
        self.at += 1
        return self.data[self.at - 1]

    def _forward(self, size: int) -> None:
        self.at += size
        if self.at > len(self.data):
            raise _More

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:  # noqa: PLR2004 - the last of the number
                return value

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
