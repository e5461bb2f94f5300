"""Files that commands read."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from consignment.adapters.cli.refusing import in_file
from consignment.domain.errors import UnusableInput, reason
from consignment.formats.strict_json import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["opened", "read_document"]

T = TypeVar("T")

_CODES = {
    errno.ENOENT: "file_not_found",
    errno.ENOTDIR: "file_not_found",
    errno.EISDIR: "not_a_file",
}


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a file to read bytes; `UnusableInput` when that, or reading inside, fails."""
    try:
        with Path(path).open("rb") as file:
            yield file
    except OSError as error:
        code = _CODES.get(error.errno or 0, "file_unreadable")
        raise UnusableInput(
            reason(code, file=path, message=error.strerror or str(error))
        ) from error
    except ValueError as error:
        # A path with a NUL in it.
        raise UnusableInput(reason("file_not_found", file=path, message=str(error))) from error


def read_document(path: str, read: Callable[[bytes], T]) -> T:
    """Read a document by one of the formats' readers; its faults name the file."""
    with opened(path) as file:
        # No more than the readers take: of a longer one they say that it is too large.
        data = file.read(MAX_BYTES + 1)
    with in_file(path):
        return read(data)
