"""The zip that a workbook is: opened and unpacked with suspicion.

Nothing that the archive says of itself is believed. The directory is read only up to a size; of
each part the bytes that really come out are counted while they come, in small pieces. Parts that
are not needed (pictures, other sheets) are never unpacked.
"""

from __future__ import annotations

import os
import posixpath
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from attrs import define, field

from consignment.adapters.files.limits import Limits
from consignment.domain.errors import UnusableInput, reason
from consignment.formats.faults import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PIECE", "Package", "malformed", "open_package"]

#: Parts are unpacked in pieces of so many bytes.
PIECE = 64 * 1024

#: What is always allowed, because small files of much repetition are common.
_RATIO_FROM = 8 * 1024 * 1024
_ENCRYPTED = 0x1
#: A directory's entry has 46 bytes, a name and extra fields.
_ENTRY_BYTES = 256
_TAIL_BYTES = 128 * 1024


def malformed(file: str, place: str, problem: str) -> UnusableInput:
    """Give the refusal of a file that is not what its format asks for."""
    return UnusableInput(
        reason("file_malformed", file=file, place=shown(place), problem=shown(problem))
    )


@define
class Package:
    """A workbook's archive, of which parts are unpacked by name; letter case does not matter."""

    file: str
    limits: Limits
    _archive: ZipFile
    _parts: dict[str, ZipInfo]
    _packed_bytes: int
    _unpacked_bytes: int = field(default=0, init=False)

    def __contains__(self, part: str) -> bool:
        return part.casefold() in self._parts

    def pieces(self, part: str, cap: str = "unpacked_bytes") -> Iterator[bytes]:
        """Unpack a part, piece by piece.

        Raises `UnusableInput`: `limit_exceeded` as soon as more has come out than the caps allow
        (that of the name `cap` for the part), `file_malformed` when it cannot be unpacked.
        """
        size = 0
        with self.stream(part) as stream:
            while True:
                with _unpacking(self.file, part):
                    piece = stream.read(PIECE)
                if not piece:
                    return
                size += len(piece)
                self._unpacked_bytes += len(piece)
                self.limits.check(cap, size, self.file, part)
                self.limits.check("unpacked_bytes", self._unpacked_bytes, self.file, part)
                if self._unpacked_bytes > _RATIO_FROM:
                    ratio = -(-self._unpacked_bytes // self._packed_bytes)
                    self.limits.check("ratio", ratio, self.file, part)
                yield piece

    @contextmanager
    def stream(self, part: str) -> Iterator[BinaryIO]:
        """Open a part whose size is known to be right."""
        info = self._parts[part.casefold()]
        if info.flag_bits & _ENCRYPTED:
            raise UnusableInput(reason("file_encrypted", file=self.file))
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise malformed(self.file, part, f"compressed by method {info.compress_type}")
        with _unpacking(self.file, part):
            stream = self._archive.open(info)
        with stream:
            yield cast("BinaryIO", stream)


def open_package(file: BinaryIO, name: str, limits: Limits) -> Package:
    """Open the archive in a file.

    Raises `UnusableInput`: `file_malformed`, `limit_exceeded` (`entries`).
    """
    packed_bytes = os.fstat(file.fileno()).st_size
    source = _Metered(file, packed_bytes, max(_TAIL_BYTES, limits.entries * _ENTRY_BYTES))
    with _unpacking(name, "zip"):
        try:
            # The archive is not to be closed with the package: it belongs to the caller's file.
            archive = ZipFile(cast("BinaryIO", source))
        except _TooMuch as error:
            limits.check("entries", error.size // _ENTRY_BYTES, name, "zip")
            raise
    limits.check("entries", len(archive.infolist()), name, "zip")
    parts: dict[str, ZipInfo] = {}
    for info in archive.infolist():
        part = posixpath.normpath("/" + info.filename.replace("\\", "/")).lstrip("/").casefold()
        if part in parts:
            raise malformed(name, info.filename, "there twice")
        parts[part] = info
    source.limit = 0
    return Package(name, limits, archive, parts, packed_bytes)


class _TooMuch(Exception):
    def __init__(self, size: int) -> None:
        self.size = size


@define
class _Metered:
    """A file of which no more is read at once than a limit; 0 is none.

    `ZipFile` reads the whole directory, as long as the archive says that it is, and makes an
    object of each entry.
    """

    _file: BinaryIO
    _size: int
    limit: int

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            size = max(0, self._size - self._file.tell())
        if self.limit and size > self.limit:
            raise _TooMuch(size)
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


@contextmanager
def _unpacking(file: str, place: str) -> Iterator[None]:
    """Tell what is wrong with an archive. `zipfile` raises many errors for one that is broken."""
    try:
        yield
    except _TooMuch as error:
        raise malformed(file, place, f"a directory of {error.size} bytes") from error
    except (
        BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OverflowError,
        ValueError,
        OSError,
    ) as error:
        raise malformed(file, place, str(error) or type(error).__name__) from error
