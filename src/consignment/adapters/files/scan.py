"""The first pass over a file: in what it is written, and whether it can be read at all.

Works on blocks of bytes, so that neither a line of 10 MB nor a million short ones cost memory.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import BinaryIO

from attrs import define, frozen

from consignment.domain.errors import Reason, UnusableInput, reason

__all__ = ["BOM", "MAX_LINE_BYTES", "Scan", "scan"]

#: The longest physical line, in bytes, without its end.
MAX_LINE_BYTES = 64 * 1024

#: The byte order mark in UTF-8.
BOM = codecs.BOM_UTF8

_BLOCK = 1024 * 1024
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@frozen
class Scan:
    """What the first pass found: the encoding, the mark's length, and whether there are quotes."""

    encoding: str
    mark_bytes: int
    quoted: bool


def scan(file: BinaryIO, name: str, encodings: Sequence[str], breaks: Sequence[bytes]) -> Scan:
    """Look through a file from its beginning.

    It is taken to be in the first of `encodings` in which every byte of it is text; one that
    begins with UTF-8's byte order mark is in UTF-8. `breaks` are the characters that end lines.

    Raises `UnusableInput` with what is wrong, each with `file`, `line` and the figure:
    `file_empty`, `wrong_encoding` (for each encoding, with the offset in bytes), `nul_byte`,
    `line_too_long`.
    """
    head = file.read(4)
    if head.startswith(_UTF16_MARKS):
        raise UnusableInput(reason("wrong_encoding", file=name, line=1, offset=0, found="utf-16"))
    mark_bytes = len(BOM) if head.startswith(BOM) else 0
    if mark_bytes and "utf-8" in encodings:
        encodings = ("utf-8",)
    look = _Look(breaks)
    file.seek(mark_bytes)
    look.through(file, encodings[0])
    if look.size == 0:
        raise UnusableInput(reason("file_empty", file=name))
    faults = look.faults(file, name)
    encoding, misfits = encodings[0], []
    for encoding in encodings:
        if encoding != encodings[0]:
            file.seek(mark_bytes)
            look.decode_through(file, encoding)
        if look.misfit_at is None:
            break
        misfits.append(
            reason(
                "wrong_encoding",
                file=name,
                line=look.line_of(file, look.misfit_at),
                offset=look.misfit_at,
                encoding=encoding,
            )
        )
    else:
        faults = [*misfits, *faults]
    if faults:
        raise UnusableInput(faults)
    return Scan(encoding, mark_bytes, look.quoted)


@define
class _Look:
    """Where the first fault of each kind is, as an offset in bytes from the file's beginning."""

    breaks: Sequence[bytes]
    size: int = 0
    quoted: bool = False
    misfit_at: int | None = None
    nul_at: int | None = None
    long_line_at: int | None = None

    def through(self, file: BinaryIO, encoding: str) -> None:
        """Look for everything at once, from where the file stands."""
        decoder = codecs.getincrementaldecoder(encoding)()
        line_at = offset = file.tell()
        while block := file.read(_BLOCK):
            if self.nul_at is None and (found := block.find(b"\0")) >= 0:
                self.nul_at = offset + found
            if self.long_line_at is None:
                line_at = self._measure(block, offset, line_at)
            if self.misfit_at is None:
                self.misfit_at = _misfit(decoder, block, offset)
            self.quoted = self.quoted or b'"' in block
            self.size += len(block)
            offset += len(block)
        if self.misfit_at is None:
            self.misfit_at = _misfit(decoder, b"", offset)

    def decode_through(self, file: BinaryIO, encoding: str) -> None:
        """Look only for what is no text in an encoding."""
        decoder = codecs.getincrementaldecoder(encoding)()
        offset, block = file.tell(), b"first"
        found = None
        while found is None and block:
            block = file.read(_BLOCK)
            found = _misfit(decoder, block, offset)
            offset += len(block)
        self.misfit_at = found

    def _measure(self, block: bytes, offset: int, line_at: int) -> int:
        """Follow lines from the one that begins at `line_at`; give where the last one begins."""
        end = offset + len(block)
        while True:
            # The last break that is near enough; what lies between is shorter still.
            first, last = max(line_at - offset, 0), line_at + MAX_LINE_BYTES - offset
            found = max(block.rfind(each, first, last + 1) for each in self.breaks)
            if found >= 0:
                line_at = offset + found + 1
            else:
                if offset + last < end:
                    self.long_line_at = line_at
                return line_at

    def faults(self, file: BinaryIO, name: str) -> list[Reason]:
        """Give the faults other than those of the encoding."""
        found = []
        if self.nul_at is not None:
            line = self.line_of(file, self.nul_at)
            found.append(reason("nul_byte", file=name, line=line, offset=self.nul_at))
        if self.long_line_at is not None:
            line = self.line_of(file, self.long_line_at)
            found.append(reason("line_too_long", file=name, line=line, limit_bytes=MAX_LINE_BYTES))
        return found

    def line_of(self, file: BinaryIO, offset: int) -> int:
        """Give the line, from 1, in which a byte is. Only asked for a fault: it reads again."""
        file.seek(0)
        line, last = 1, b""
        while offset > 0 and (block := file.read(min(_BLOCK, offset))):
            line += sum(map(block.count, self.breaks))
            if len(self.breaks) > 1:
                # A line feed right behind a carriage return ends no further line.
                line -= (last + block).count(b"\r\n")
            last = block[-1:]
            offset -= len(block)
        return line


def _misfit(decoder: codecs.IncrementalDecoder, block: bytes, offset: int) -> int | None:
    """Give where the next block, or the file's end, is no text; `offset` is the block's."""
    begun = len(decoder.getstate()[0])
    try:
        decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        return offset - begun + error.start
    return None
