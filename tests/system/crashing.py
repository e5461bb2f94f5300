"""Kills a worker at its nth point, starts again, and tells what has come of it.

    python -m tests.system.crashing TEMPLATE SCRATCH FIRST STEP EVERY

A point is any SQL statement, BEGIN and COMMIT among them, and any file that is opened, made,
renamed or removed below the folder; the worker is killed just before. For each point this process
forks a child that works until it is killed, and another that starts again; it has nothing open
when it forks. For each point it prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict
from sqlalchemy.event import listen
from sqlalchemy.pool import Pool

from consignment.adapters.filedrop import FileDrop
from consignment.adapters.memory import ManualClock
from consignment.adapters.sqlalchemy import Ledger, SqlStorage
from consignment.desk import Consignment, Work
from consignment.domain.errors import Refused
from consignment.domain.settings import Settings
from tests.system.snapshot import check, connect, of_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NOW", "SETTINGS", "open_desk"]

#: When the worker works.
NOW = datetime(2026, 9, 10, 2, 0, 30, tzinfo=UTC)
SETTINGS = Settings(answer_days=5)

_FILE_EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.link", "os.rmdir"})
#: More points than there are.
_NEVER = 10**9
_ROUNDS = 5


def open_desk(folder: Path, now: datetime = NOW) -> Consignment:
    """Open a folder's desk. A kill loses nothing that was handed to the system: no fsync needed."""
    storage = SqlStorage.open(f"sqlite:///{folder / 'bank.db'}", synchronous="OFF")
    return Consignment(
        storage=storage,
        messaging=FileDrop(folder / "mailbox", sync=False),
        crediting=Ledger(storage),
        clock=ManualClock(now),
        settings=SETTINGS,
    )


class _Countdown:
    """Counts the points that this process passes, and kills it before the last."""

    def __init__(self, folder: Path, last: int) -> None:
        self._folder = str(folder)
        self._last = last
        self.passed: list[str] = []

    def reach(self, what: str) -> None:
        if len(self.passed) + 1 == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed.append(what)

    def listen(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _FILE_EVENTS and str(arguments[0]).startswith(self._folder):
            self.reach(f"{event} {Path(str(arguments[0])).name}")


def _in_child(work: Callable[[], object], answer: Path) -> int | None:
    """Run work in a child of its own; give its signal, None when it ended by itself."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            answer.write_text(json.dumps(work(), default=str), "utf-8")
            status = 0
        except Exception:  # noqa: BLE001 - told to whoever started this
            answer.write_text(json.dumps({"error": traceback.format_exc()}), "utf-8")
        finally:
            os._exit(status)
    _, waited = os.waitpid(child, 0)
    return os.WTERMSIG(waited) if os.WIFSIGNALED(waited) else None


def _work(folder: Path, last: int) -> list[str]:
    countdown = _Countdown(folder, last)
    sys.addaudithook(countdown.listen)
    # The store speaks to the driver's cursors, so the driver has to tell of each statement.
    listen(Pool, "connect", lambda driver, _: driver.set_trace_callback(countdown.reach))
    with open_desk(folder) as desk:
        desk.work()
        return list(countdown.passed)


def _start_again(folder: Path) -> dict[str, Any]:
    """Do what is left to be done, until nothing is, and give the state."""
    with open_desk(folder) as desk:
        desk.relay.recover()
        for _ in range(_ROUNDS):
            if (done := desk.work()) == Work(settled=done.settled) and not done.settled.settled:
                break
        else:
            return {"error": f"there is always something to do: {done}"}
        try:
            explained = [list(each.explanation) for each in desk.settlement.of_order(_SETTLED)]
        except Refused as refused:
            return {"error": str(refused)}
    state = _state(folder)
    state["explained"] = explained
    return state


_SETTLED = "D-1:farm-1"


def _state(folder: Path) -> dict[str, Any]:
    """Give everything that may not depend on where the worker was killed, in plain values."""
    connection = connect(folder / "bank.db")
    shot = of_sqlite(connection)
    connection.close()
    check(shot)
    plain = asdict(shot)
    # When something was tried may differ, and an unreadable message may be refused twice.
    for entry in plain["outbox"].values():
        entry.pop("due_at")
    plain["facts"] = sorted({json.dumps(fact, sort_keys=True) for fact in plain["facts"]})
    plain["postings"].sort()
    state = {name: _keyed(rows) for name, rows in plain.items()}
    state["files"] = {
        str(path.relative_to(folder)): _content(path)
        for path in sorted((folder / "mailbox").rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    return state


def _keyed(rows: Any) -> Any:  # noqa: ANN401 - any part of a snapshot
    if isinstance(rows, dict):
        return {str(key): row for key, row in rows.items()}
    return rows


def _content(path: Path) -> Any:  # noqa: ANN401 - a file's JSON, or its text
    text = path.read_text("utf-8")
    if not path.name.endswith(".json"):
        return text
    try:
        content = json.loads(text)
    except ValueError:
        return text
    # After a crash between the commit and the move, what was taken comes again.
    for message in content.get("messages", ()):
        message.pop("repeated", None)
    return content


def _differences(wanted: Any, found: Any) -> list[str]:  # noqa: ANN401 - states
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            f"{name}: {each}" if not each.startswith("'") else f"{name} {each}"
            for name in sorted(wanted.keys() | found.keys())
            for each in (
                _differences(wanted[name], found[name])
                if name in wanted and name in found
                else [f"only {'without' if name in wanted else 'after'} the crash"]
            )
        ]
    return [] if wanted == found else [f"{wanted!r} without, {found!r} after the crash"]


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main(template: Path, scratch: Path, first: int, step: int, every: int) -> None:
    """Kill at the points first, first + step, … until none is left."""
    answer = scratch / f"answer-{first}.json"
    folder = scratch / f"reference-{first}"
    shutil.copytree(template, folder)
    # Done here, once, and all closed again: what statements were compiled to is there in each fork.
    wanted = json.loads(json.dumps(_start_again(folder)))
    assert "error" not in wanted, wanted["error"]
    folder = scratch / f"counted-{first}"
    shutil.copytree(template, folder)
    assert _in_child(lambda: _work(folder, _NEVER), answer) is None
    passed = json.loads(answer.read_text("utf-8"))
    assert isinstance(passed, list), passed
    _say({"points": len(passed), "passed": passed})
    for point in range(first, len(passed) + 1, step * every):
        folder = scratch / f"point-{point}"
        shutil.copytree(template, folder)
        told: dict[str, Any] = {"point": point, "before": passed[point - 1][:200]}
        killed = _in_child(lambda folder=folder, point=point: _work(folder, point), answer)  # type: ignore[misc] # called now
        if killed != signal.SIGKILL:
            told["error"] = f"it was not killed: {answer.read_text('utf-8')}"
        elif _in_child(lambda folder=folder: _start_again(folder), answer) is not None:  # type: ignore[misc] # called now
            told["error"] = "it died when it started again"
        else:
            found = json.loads(answer.read_text("utf-8"))
            if "error" in found:
                told["error"] = found["error"]
            elif wrong := _differences(wanted, found):
                told["error"] = wrong[:20]
        _say(told)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6]))
