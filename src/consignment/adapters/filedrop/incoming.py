"""One file that a partner left, and what becomes of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from attrs import define, field

from consignment.adapters.filedrop.disk import Disk, fault_text, free_name, open_regular
from consignment.domain.errors import UnusableInput, reason
from consignment.formats.cloudevents import jsonl_messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from consignment.domain.errors import Reason
    from consignment.ports.partner_messaging import Answer

__all__ = ["IncomingFile"]

_BLOCK = 1024 * 1024


@define
class IncomingFile:
    """A file in a partner's inbound folder; see `ports.partner_messaging.Inbound`.

    When every message in it was taken it goes to `done/`, otherwise to `refused/`, where
    `<name>.reasons.json` beside it tells of each message what became of it. A file of that name
    that is there already stays, and the new one is called `<name>.2`. A file that somebody else
    has taken away meanwhile is left to them; one that was changed meanwhile stays to be offered
    again, and what was taken from it then counts as a repeat.
    """

    partner_id: str
    path: Path
    _disk: Disk = field(repr=False)
    _max_file_bytes: int = field(repr=False)
    _max_file_lines: int = field(repr=False)
    _max_message_bytes: int = field(repr=False)
    #: Takes note of what went wrong in moving; `FileDrop.inbound` raises it in the end.
    _troubles: list[str] = field(repr=False)
    _read_as: tuple[int, ...] | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        """The file's name, safe to print."""
        name = os.fsencode(self.path.name).decode("utf-8", "backslashreplace")
        return name if name.isprintable() else name.encode("unicode_escape").decode()

    def messages(self) -> Iterator[bytes]:
        """Give the messages in the file: one, or one a line.

        A message that is too long is cut so that reading it is refused. Raises `UnusableInput`:
        `file_too_large`, `file_empty`, `file_unreadable`.
        """
        try:
            with open_regular(self.path) as file:
                self._read_as = _signature(file)
                yield from self._messages(file)
        except FileNotFoundError:
            # Whatever comes to lie there until it is finished was not read.
            self._read_as = ()
        except OSError as error:
            raise UnusableInput(
                reason("file_unreadable", file=self.name, problem=fault_text(error))
            ) from error

    def _messages(self, file: BinaryIO) -> Iterator[bytes]:
        size = os.fstat(file.fileno()).st_size
        if size > self._max_file_bytes:
            raise UnusableInput(
                reason(
                    "file_too_large", file=self.name, bytes=size, limit_bytes=self._max_file_bytes
                )
            )
        if self.path.suffix.lower() == ".json":
            found = iter([file.read(self._max_message_bytes + 1)] if size else [])
        else:
            self._check_lines(file)
            found = jsonl_messages(file, max_bytes=self._max_message_bytes)
        first = next(found, None)
        if first is None:
            raise UnusableInput(reason("file_empty", file=self.name))
        yield first
        yield from found

    def _check_lines(self, file: BinaryIO) -> None:
        lines = 0
        while block := file.read(_BLOCK):
            lines += block.count(b"\n")
        if lines > self._max_file_lines:
            raise UnusableInput(
                reason(
                    "file_too_large", file=self.name, lines=lines, limit_lines=self._max_file_lines
                )
            )
        file.seek(0)

    def finish(self, answers: Sequence[Answer]) -> None:
        """Move the file to `done/`, or to `refused/` when a message was refused.

        When it cannot be moved it stays and is offered again; see `FileDrop.inbound`.
        """
        if not any(answer.reasons for answer in answers):
            self._move("done", None)
            return
        told = [
            {
                "message": i,
                "id": answer.report_id,
                "taken": not answer.reasons,
                "repeated": answer.repeated,
                "reasons": [each.as_dict() for each in answer.reasons],
            }
            for i, answer in enumerate(answers, start=1)
        ]
        self._move("refused", {"file": self.name, "messages": told})

    def refuse(self, reasons: Sequence[Reason]) -> None:
        """Move the file to `refused/`, with the reasons beside it.

        When it cannot be moved it stays and is offered again; see `FileDrop.inbound`.
        """
        told = [each.as_dict() for each in reasons]
        self._move("refused", {"file": self.name, "reasons": told})

    def _move(self, where: str, reasons: Mapping[str, Any] | None) -> None:
        try:
            if self._is_as_read(self.path):
                self._move_to(self.path.parent / where, reasons)
        except OSError as error:
            self._troubles.append(
                f"{self.partner_id}/{self.name} cannot be moved to {where}: {fault_text(error)}"
            )

    def _is_as_read(self, path: Path) -> bool:
        try:
            with open_regular(path) as file:
                return self._read_as in {None, _signature(file)}
        except FileNotFoundError:
            return False
        except OSError:
            # It cannot be opened, and was not: that is why it is refused.
            return True

    def _move_to(self, folder: Path, reasons: Mapping[str, Any] | None) -> None:
        self._disk.make_folder(folder, self.path.parent)
        if folder.is_symlink():
            raise OSError(None, "the folder is a link", folder.name)
        name = free_name(folder, self.path.name)
        # The reasons come first: after a crash in between the file is offered again, and they
        # are written anew.
        beside = folder / f"{name}.reasons.json"
        if reasons is not None:
            data = json.dumps(reasons, ensure_ascii=False, indent=2, default=str) + "\n"
            aside = self._disk.write_aside(
                folder, beside.name, data.encode("utf-8", "backslashreplace")
            )
            aside.replace(beside)
        try:
            self.path.rename(folder / name)
        except FileNotFoundError:
            # Another worker may have put it there, under that name, with these reasons.
            if not os.path.lexists(folder / name):
                beside.unlink(missing_ok=True)
            return
        if not self._is_as_read(folder / name):
            # At the last moment another file took its place: that one is still to be read.
            (folder / name).rename(self.path.parent / free_name(self.path.parent, self.path.name))
            beside.unlink(missing_ok=True)
        self._disk.sync_folder(folder)
        self._disk.sync_folder(self.path.parent)


def _signature(file: BinaryIO) -> tuple[int, ...]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
