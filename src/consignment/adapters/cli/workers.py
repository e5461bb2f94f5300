"""Workers beside each other: which one may recover, and how one that goes on is stopped."""

from __future__ import annotations

import signal
import socket
from contextlib import contextmanager
from pathlib import Path
from select import select
from threading import current_thread, main_thread
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import BinaryIO

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows
    fcntl = None  # type: ignore[assignment] # likewise

__all__ = ["Stop", "until_signalled", "working"]


@contextmanager
def working(database: str, recover: Callable[[], int]) -> Iterator[int]:
    """Be a worker on a database; give what `recover` gave, which a crashed worker had left.

    It is called only when no other worker is at work here, which a lock on a file beside the
    SQLite database tells: shared by workers, for one alone while it recovers. Where there can be
    no such file, nothing is recovered at once; the leases end by themselves.
    """
    file = _lock_file(database)
    if file is None:
        yield 0
        return
    with file:
        try:
            recovered = recover() if _locked_alone(file) else 0
            # Between the two locks another worker may come in and recover. It does no harm: this
            # one has begun nothing, and waits until the other is done with it.
            fcntl.flock(file, fcntl.LOCK_SH)
        except OSError:  # pragma: no cover - a file system without locks
            recovered = 0
        yield recovered


def _locked_alone(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_file(database: str) -> BinaryIO | None:
    path = _database_path(database)
    if path is None or fcntl is None:
        return None
    try:
        return path.with_name(path.name + ".work.lock").open("ab")
    except OSError:
        return None


def _database_path(database: str) -> Path | None:
    """Give the file of a SQLite address; None for what is in memory, or elsewhere."""
    scheme, found, rest = database.partition(":///")
    if not found or scheme.partition("+")[0] != "sqlite":
        return None
    name, _, query = rest.partition("?")
    if "memory" in parse_qs(query).get("mode", ()) or name in {"", ":memory:"}:
        return None
    return Path(name.removeprefix("file:")).resolve()


class Stop:
    """Tells whether a signal to stop has come, and waits for one."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver

    def wait(self, seconds: float) -> bool:
        """Wait until a signal comes, or so long; tell whether one has come."""
        return bool(select([self._receiver], [], [], seconds)[0])

    @property
    def requested(self) -> bool:
        """Tell whether a signal has come."""
        return self.wait(0)


@contextmanager
def until_signalled() -> Iterator[Stop]:
    """Note SIGTERM and SIGINT instead of ending at once; the second one acts as ever."""
    receiver, sender = socket.socketpair()
    with receiver, sender:
        previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def note(number: int, _: FrameType | None) -> None:
            # A socket, because whatever takes a lock may wait for ever in here.
            sender.send(b".")
            signal.signal(number, previous[signal.Signals(number)])

        noted = current_thread() is main_thread()
        for number in previous if noted else ():
            signal.signal(number, note)
        try:
            yield Stop(receiver)
        finally:
            for number, handler in previous.items() if noted else ():
                signal.signal(number, handler)
