"""Files and folders such that a crash leaves the old state or the new one."""

from __future__ import annotations

import errno
import os
import stat
from itertools import count
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

from attrs import frozen

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Disk", "fault_text", "free_name", "open_regular"]


@frozen
class Disk:
    """Writes and moves. With `sync`, what a call returned from survives a power cut."""

    sync: bool = True

    def make_folder(self, folder: Path, within: Path) -> None:
        """Make a folder and those above it, up to `within`, which has to be there."""
        if folder == within:
            if not within.is_dir():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(within))
            return
        try:
            folder.mkdir(mode=0o770)
        except FileNotFoundError:
            self.make_folder(folder.parent, within)
            folder.mkdir(mode=0o770, exist_ok=True)
        except FileExistsError:
            if not folder.is_dir():
                raise
            return
        self.sync_folder(folder.parent)

    def write_aside(self, folder: Path, name: str, data: bytes) -> Path:
        """Write a new hidden file next to where it is to appear; give its path."""
        aside = folder / f".{uuid4().hex}.tmp"
        try:
            with aside.open("xb") as file:
                file.write(data)
                if self.sync:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            aside.unlink(missing_ok=True)
            # Say which file it was for, not what it was called on the way.
            raise OSError(error.errno, error.strerror, name) from error
        return aside

    def sync_folder(self, folder: Path) -> None:
        """Make lasting what was made, renamed and removed in a folder."""
        if not self.sync:
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; not through a link, and nothing that is no plain file.

    Raises `OSError`: ELOOP for a link, EINVAL for a pipe or folder.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", path.name)
    return os.fdopen(descriptor, "rb")


#: The longest name in bytes, so that with a number and what stands beside it it is still a name.
_MAX_NAME_BYTES = 220


def free_name(folder: Path, name: str) -> str:
    """Give a name that no file in the folder has: `a.jsonl`, else `a.2.jsonl`, and so on.

    A name that is so long that nothing could be put behind it is cut, before its suffix.
    """
    stem, dot, suffix = name.rpartition(".")
    if (spare := _MAX_NAME_BYTES - len(os.fsencode(dot + suffix))) < len(os.fsencode(stem)):
        stem = os.fsdecode(os.fsencode(stem)[: max(spare, 1)])
        name = stem + dot + suffix
    for i in count(2):
        if not os.path.lexists(folder / name):
            break
        name = f"{stem}.{i}{dot}{suffix}"
    return name


def fault_text(error: OSError) -> str:
    """Tell a fault of the file system in words and by its name: `No space left … (ENOSPC)`."""
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return f"{error.strerror or error} ({name})"
