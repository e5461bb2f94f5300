"""What a file is by its first bytes, and by what is in it when it is a container."""

from __future__ import annotations

import struct
from enum import Enum, auto
from typing import BinaryIO

from consignment.domain.errors import UnusableInput, reason

__all__ = ["Found", "look"]

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: The stream in which a workbook with a password is kept, as the container's directory has it.
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_DIRECTORY = 4096


class Found(Enum):
    """What a file can be."""

    NOTHING = auto()
    TEXT = auto()
    WORKBOOK = auto()
    PARQUET = auto()


def look(file: BinaryIO, name: str) -> Found:
    """Tell what a file is, and leave it at its beginning.

    Raises `UnusableInput` for what is known and cannot be read: `format_unsupported` for the
    binary workbooks of old (.xls), `file_encrypted` for a workbook or Parquet with a password.
    """
    head = file.read(64)
    if head.startswith(_OLE):
        if _ENCRYPTED in _ole_directory(file, head):
            raise UnusableInput(reason("file_encrypted", file=name))
        raise UnusableInput(reason("format_unsupported", file=name, found="xls"))
    file.seek(0)
    if head.startswith(b"PARE"):
        raise UnusableInput(reason("file_encrypted", file=name))
    if head.startswith(b"PAR1"):
        return Found.PARQUET
    if head.startswith(_ZIP):
        return Found.WORKBOOK
    return Found.TEXT if head else Found.NOTHING


def _ole_directory(file: BinaryIO, head: bytes) -> bytes:
    """Give the first entries of an OLE container's directory ([MS-CFB] 2.2)."""
    if len(head) < 64:  # noqa: PLR2004 - the part of the header that is read
        return b""
    (shift,) = struct.unpack_from("<H", head, 30)
    (sector,) = struct.unpack_from("<I", head, 48)
    file.seek((sector + 1) << min(shift, 12))
    return file.read(_DIRECTORY)
