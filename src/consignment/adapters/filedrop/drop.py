"""The drop: messages out as files, messages in from files."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from consignment.adapters.filedrop.disk import Disk, fault_text
from consignment.adapters.filedrop.incoming import IncomingFile
from consignment.domain.errors import DeliveryFailed, UnusableInput, reason
from consignment.domain.text import check_id, id_fault
from consignment.formats.cloudevents import MAX_MESSAGE_BYTES, write_event
from consignment.formats.faults import shown
from consignment.ports.partner_messaging import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from consignment.domain.message import Message, Recipient

__all__ = ["MAX_FILE_BYTES", "MAX_FILE_LINES", "FileDrop"]

#: The largest inbound file, in bytes.
MAX_FILE_BYTES = 64 * 1024 * 1024

#: The most lines of an inbound file: what becomes of each is kept in memory until all are done.
MAX_FILE_LINES = 100_000

_MESSAGE_ID = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,219}", re.ASCII)
_SUFFIXES = (".json", ".jsonl", ".ndjson")


@frozen
class FileDrop:
    """Partner messaging over folders below `root`, which has to exist.

    Outbound folders are made when the first message goes there; an inbound folder is a partner's
    way in, and exists only when somebody made it (`make_inbound`). Files are written aside and
    renamed, so whoever fetches them never sees half of one. Names that begin with `.`, and those
    that do not end in .json, .jsonl or .ndjson, are passed over: uploads on their way. So are
    links.

    With `sync` off, a power cut may lose what was handed over: for tests.
    """

    root: Path = field(converter=Path)
    sync: bool = True
    max_file_bytes: int = MAX_FILE_BYTES
    max_file_lines: int = MAX_FILE_LINES
    max_message_bytes: int = MAX_MESSAGE_BYTES

    @property
    def _disk(self) -> Disk:
        return Disk(self.sync)

    def deliver(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        """Put each message into its recipient's folder, in their order.

        A message that lies there already stays as it is. When a folder cannot be made lasting,
        all messages of this call to that folder have failed.
        """
        outcomes: list[Delivery] = [Delivery()] * len(messages)
        by_recipient: dict[Recipient, list[int]] = {}
        for i, message in enumerate(messages):
            if fault := _address_fault(message):
                outcomes[i] = Delivery(fault, final=True)
            else:
                by_recipient.setdefault(message.recipient, []).append(i)
        for recipient, places in by_recipient.items():
            batch = _Batch(self._disk, self.root, self.folder(recipient))
            delivered = batch.deliver([messages[i] for i in places])
            for i, outcome in zip(places, delivered, strict=True):
                outcomes[i] = outcome
        return outcomes

    def inbound(self) -> Iterator[IncomingFile]:
        """Give the files that partners left, by partner id and then by name.

        Raises `DeliveryFailed` when the root is not there. A partner's folder that cannot be
        read, or a file that cannot be moved when it is finished or refused, keeps no other back:
        once all have been given, `DeliveryFailed` tells of each such trouble.
        """
        if not self.root.is_dir():
            raise DeliveryFailed(f"the drop's folder is not there: {self.root}")
        troubles: list[str] = []
        for folder in _entries(self.root / "inbound", stat.S_ISDIR, troubles):
            if not _folder_name_fault(folder.name):
                for path in _entries(folder, stat.S_ISREG, troubles):
                    if not path.name.startswith(".") and path.name.lower().endswith(_SUFFIXES):
                        yield IncomingFile(
                            folder.name,
                            path,
                            self._disk,
                            self.max_file_bytes,
                            self.max_file_lines,
                            self.max_message_bytes,
                            troubles,
                        )
        if troubles:
            raise DeliveryFailed("; ".join(troubles))

    def make_root(self) -> FileDrop:
        """Make the root and the folders above it, if they are not there; give the drop itself.

        It is not done by itself: where the root is a mount that is missing, messages would be
        written beside it. Raises `UnusableInput` (`folder_not_made`).
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnusableInput(
                reason("folder_not_made", name=str(self.root), problem=fault_text(error))
            ) from error
        return self

    def make_inbound(self, partner_id: str) -> Path:
        """Make a partner's inbound folder, if it is not there, and give its path.

        Raises `InvalidValue` (`id_invalid`), `UnusableInput` (`folder_not_made`).
        """
        check_id(partner_id, "partner_id")
        folder = self.root / "inbound" / partner_id
        try:
            if fault := _folder_name_fault(partner_id):
                raise UnusableInput(reason("folder_not_made", name=partner_id, problem=fault))
            self._disk.make_folder(folder, self.root)
        except OSError as error:
            raise UnusableInput(
                reason("folder_not_made", name=partner_id, problem=fault_text(error))
            ) from error
        return folder

    def folder(self, recipient: Recipient) -> Path:
        """Give the folder that a recipient's messages are put into."""
        return self.root / "outbound" / recipient.kind.value / recipient.recipient_id


@define
class _Batch:
    """Some messages for one folder: all written aside, then renamed in their order, then synced."""

    disk: Disk
    root: Path
    folder: Path

    def deliver(self, messages: Sequence[Message]) -> list[Delivery]:
        try:
            self.disk.make_folder(self.folder, self.root)
        except OSError as error:
            return [Delivery(fault_text(error))] * len(messages)
        written = [self._write(message) for message in messages]
        outcomes = [
            self._publish(message, aside) if isinstance(aside, Path) else aside
            for message, aside in zip(messages, written, strict=True)
        ]
        try:
            self.disk.sync_folder(self.folder)
        except OSError as error:
            return [each if each.error else Delivery(fault_text(error)) for each in outcomes]
        return outcomes

    def _write(self, message: Message) -> Path | Delivery:
        if os.path.lexists(self._path(message)):
            return Delivery()
        try:
            data = write_event(message) + b"\n"
        except (TypeError, ValueError) as error:
            return Delivery(f"cannot be written as JSON: {error}", final=True)
        try:
            return self.disk.write_aside(self.folder, self._path(message).name, data)
        except OSError as error:
            return Delivery(fault_text(error))

    def _publish(self, message: Message, aside: Path) -> Delivery:
        try:
            aside.replace(self._path(message))
        except OSError as error:
            aside.unlink(missing_ok=True)
            return Delivery(fault_text(error))
        return Delivery()

    def _path(self, message: Message) -> Path:
        return self.folder / f"{message.message_id}.json"


def _address_fault(message: Message) -> str | None:
    if fault := _folder_name_fault(message.recipient.recipient_id):
        return f"recipient id {fault}: {message.recipient.recipient_id[:80]!r}"
    if not _MESSAGE_ID.fullmatch(message.message_id):
        return f"message id cannot be a file name: {message.message_id[:80]!r}"
    return None


def _folder_name_fault(name: str) -> str | None:
    return "cannot be a folder name" if id_fault(name) or name in {".", ".."} else None


def _entries(folder: Path, wanted: Callable[[int], bool], troubles: list[str]) -> Iterator[Path]:
    """Give what is in a folder, of one kind and no links, by name; nothing without the folder."""
    try:
        paths = sorted(folder.iterdir(), key=lambda path: path.name)
    except FileNotFoundError:
        return
    except OSError as error:
        troubles.append(f"{folder.name}: {fault_text(error)}")
        return
    for path in paths:
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            # It was taken away since, by another worker or by the partner.
            continue
        except OSError as error:
            troubles.append(f"{folder.name}/{shown(path.name)}: {fault_text(error)}")
            continue
        if wanted(mode):
            yield path
