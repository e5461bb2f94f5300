"""The headers of Parquet's pages: how much each page says that it unpacks to.

The metadata at the end of a file tells sums, and a library believes them; what it makes room for
is what each page's header says. So the headers are read first. A page cannot unpack to more than
its header says: that much room is made for it, and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from consignment.adapters.files.thrift import I32, NotThrift, Shape, read

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NotAPage", "Page", "pages_of"]

#: The longest header, in bytes: it may hold the smallest and largest value.
_MAX_HEADER = 64 * 1024
_FIRST_READ = 512
# Fields of `PageHeader` in parquet.thrift, and of the headers within it.
_TYPE, _UNCOMPRESSED, _COMPRESSED = 1, 2, 3
_DATA_HEADER, _DATA_HEADER_2 = 5, 8
_ENCODING, _ENCODING_2 = 2, 4
_HEADER: dict[int, Shape] = {
    _TYPE: I32,
    _UNCOMPRESSED: I32,
    _COMPRESSED: I32,
    _DATA_HEADER: {_ENCODING: I32},
    _DATA_HEADER_2: {_ENCODING_2: I32},
}
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


def pages_of(file: BinaryIO, begin: int, end: int) -> Iterator[Page]:
    """Give the pages between two offsets of a file.

    Raises `NotAPage` where there is none.
    """
    at = begin
    if not 0 <= begin <= end:
        raise NotAPage(begin)
    while at < end:
        header, length = _header(file, at, end)
        size, compressed = header.get(_UNCOMPRESSED, -1), header.get(_COMPRESSED, -1)
        at += length + compressed
        if size < 0 or compressed < 0 or at > end:
            raise NotAPage(at)
        encodings = (
            header.get(_DATA_HEADER, {}).get(_ENCODING),
            header.get(_DATA_HEADER_2, {}).get(_ENCODING_2),
        )
        is_dictionary = header.get(_TYPE) == _DICTIONARY
        yield Page(size, is_dictionary, _DELTA_BYTE_ARRAY in encodings)


def _header(file: BinaryIO, at: int, end: int) -> tuple[dict[int, Any], int]:
    size = _FIRST_READ
    while size <= _MAX_HEADER:
        file.seek(at)
        data = file.read(min(size, end - at))
        try:
            return read(data, _HEADER)
        except NotThrift:
            if len(data) < size:
                break
            size *= 4
    raise NotAPage(at)
