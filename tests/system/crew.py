"""Processes that use one desk at the same moment, and tell what came of it."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from attrs import frozen

from consignment.adapters.filedrop import FileDrop
from consignment.adapters.memory import ManualClock
from consignment.adapters.sqlalchemy import Ledger, SqlStorage
from consignment.desk import Consignment
from consignment.domain.settings import Settings

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier
    from types import TracebackType

__all__ = ["Crew", "Job", "Place"]

#: How long to wait for a process that may not have been given the processor, in seconds.
_PATIENCE_S = 120
#: How the engines say that they have given up one of several transactions that wait in a circle.
_DEADLOCK = re.compile(r"\(40P01\)|\(1213\)")


@frozen
class Place:
    """Where a desk is kept, and what time it is there."""

    url: str
    mailbox: Path
    now: datetime
    settings: Settings | None = None

    def open(self, mailbox: type[FileDrop] = FileDrop) -> Consignment:
        """Open the desk as it is. Nobody pulls the plug: no fsync is needed."""
        storage = SqlStorage.open(self.url, synchronous="OFF", busy_timeout_s=30)
        return Consignment(
            storage=storage,
            messaging=mailbox(self.mailbox, sync=False),
            crediting=Ledger(storage),
            clock=ManualClock(self.now),
            settings=self.settings,
        )


#: What a process does: a function of a module, called with the desk, a meeting point of all
#: processes, and what else there is.
Job = tuple[Callable[..., Any], Sequence[Any]]


def _attend(meeting: Barrier, pipe: Connection) -> None:
    """Do the jobs that come until there are none any more."""
    while (asked := pipe.recv()) is not None:
        place, mailbox, function, arguments = asked
        deadlocks: list[str] = []
        try:
            with place.open(mailbox) as desk:
                _watch(desk, deadlocks)
                meeting.wait(_PATIENCE_S)
                answer = function(desk, lambda: meeting.wait(_PATIENCE_S), *arguments)
        except BaseException:  # noqa: BLE001 - told to whoever asked
            # Nobody waits for one who does not come.
            meeting.abort()
            pipe.send((None, deadlocks, traceback.format_exc()))
        else:
            pipe.send((answer, deadlocks, None))


def _watch(desk: Consignment, deadlocks: list[str]) -> None:
    """Take down each deadlock that the engine tells of, although it is tried again."""
    database = desk.storage._database  # type: ignore[attr-defined] # it is the SQL store
    told = database.told

    def listen(error: Exception) -> Exception:
        ours: Exception = told(error)
        if _DEADLOCK.search(str(ours)):
            deadlocks.append(str(ours))
        return ours

    database.told = listen


class Crew:
    """Some processes, which are kept from one task to the next."""

    def __init__(self, size: int) -> None:
        context = get_context("spawn")
        self._meeting = context.Barrier(size)
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(size):
            pipe, theirs = context.Pipe()
            process = context.Process(target=_attend, args=(self._meeting, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(pipe)
            self._processes.append(process)

    def __len__(self) -> int:
        return len(self._processes)

    def at_once(
        self,
        place: Place,
        jobs: Sequence[Job],
        *,
        mailbox: type[FileDrop] = FileDrop,
        deadlocks: bool = False,
    ) -> list[Any]:
        """Let each process do one job, beginning together; give what they answer.

        Asserts that none ends in an error, and that the engine met no deadlock unless it may.
        """
        assert len(jobs) == len(self)
        self._meeting.reset()
        for pipe, (function, arguments) in zip(self._pipes, jobs, strict=True):
            pipe.send((place, mailbox, function, arguments))
        told = []
        for pipe in self._pipes:
            assert pipe.poll(2 * _PATIENCE_S), "a process does not answer"
            told.append(pipe.recv())
        troubles = [trouble for *_, trouble in told if trouble is not None]
        # The others say only that somebody did not come.
        troubles.sort(key=lambda each: "BrokenBarrierError" in each)
        assert not troubles, troubles[0]
        met = Counter(each for _, found, _ in told for each in found)
        assert deadlocks or not met
        return [answer for answer, *_ in told]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            if process.is_alive():
                pipe.send(None)
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()
