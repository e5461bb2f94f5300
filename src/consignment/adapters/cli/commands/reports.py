"""`receive`: what a partner reports, from a file of messages."""

from __future__ import annotations

from array import array
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, cast

from consignment.adapters.cli.answer import Answer, Exit
from consignment.adapters.cli.console import figure, progress_bar
from consignment.adapters.cli.inputs import opened
from consignment.adapters.cli.refusing import message_line
from consignment.adapters.cli.shapes import reason_shapes
from consignment.domain.errors import UnusableInput, reason
from consignment.formats.cloudevents import jsonl_messages
from consignment.reporting import Received

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console
    from consignment.ports.partner_messaging import Answer as PartnerAnswer

__all__ = ["add"]

_SHOWN = 20


def add(commands: Commands) -> None:
    """Add `receive`."""
    parser = commands.add("receive", _receive, "take a partner's messages, one a line of JSON")
    parser.add_argument("--partner", metavar="PARTNER_ID", required=True, help="who sent them")
    parser.add_argument("file", metavar="FILE")


class _Lines:
    """A file's messages, one a line, remembering for each the line that it stands on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._line = 0
        self._unended = False
        self.places = array("L")

    def readline(self, size: int = -1) -> bytes:
        read = self._file.readline(size)
        self._line += read.endswith(b"\n")
        if read:
            self._unended = not read.endswith(b"\n")
        return read

    def __iter__(self) -> Iterator[bytes]:
        for message in jsonl_messages(cast("BinaryIO", self)):
            self.places.append(self._line + self._unended)
            yield message


def _receive(asked: Invocation) -> Answer:
    given = asked.given
    desk = asked.open()
    with opened(given.file) as file, progress_bar("messages") as progress:
        desk.admission.partner(given.partner)
        lines = _Lines(file)
        answers = desk.reporting.receive(given.partner, lines, progress=progress)
    if not answers:
        raise UnusableInput(reason("file_empty", file=given.file))
    received = Received()
    for each in answers:
        received.count(each)
    refused = [
        (line, each) for line, each in zip(lines.places, answers, strict=True) if each.reasons
    ]
    document = {
        "taken": received.taken,
        "repeated": received.repeated,
        "refused": received.refused,
        "refusals": (
            {"id": each.report_id, "line": line, "reasons": reason_shapes(each.reasons)}
            for line, each in refused
        ),
    }
    return Answer(
        document,
        lambda console: _show(console, given.file, received, refused),
        Exit.REFUSED if refused else Exit.DONE,
    )


def _show(
    console: Console, file: str, received: Received, refused: Sequence[tuple[int, PartnerAnswer]]
) -> None:
    console.table(
        [figure(each) for each in ("taken", "repeated", "refused")],
        [(received.taken, received.repeated, received.refused)],
    )
    for line, each in islice(refused, _SHOWN):
        for fault in each.reasons:
            console.say(f"{file}:{line}: {message_line(each.report_id, fault)}", "bad")
    if len(refused) > _SHOWN:
        console.say(f"… and {len(refused) - _SHOWN:,} more; --json gives all of them", "faint")
