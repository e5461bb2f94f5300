"""`work`: what cannot be done yet, what was set aside, crashes, and going on for good."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from consignment.adapters.cli.workers import until_signalled, working
from consignment.desk import Consignment
from consignment.domain.message import Message
from tests.cli.bank import AKSU, COMPLETED, ORDER, ORDERED, PARTNER, Bank, codes

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import Popen


def lease_everything(bank: Bank) -> None:
    """Leave the outbox as a worker does that dies after its claim has been committed."""
    now = datetime.fromisoformat(ORDERED).astimezone(UTC)
    with Consignment.open(bank.database, mailbox=bank.mailbox, upgrade=False) as desk:
        claimed = desk.storage.write(
            lambda tx: tx.outbox.claim(
                Message, now=now, lease_until=now + timedelta(days=90), limit=100
            )
        )
    assert claimed


def test_an_order_without_a_rule_is_not_settled(bank: Bank) -> None:
    """An order that cannot be settled is told with its reasons, and `work` ends with 0."""
    bank.admitted()
    bank.run("sales-partner", "add", AKSU / "sales_partner.json", "--at", ORDERED)
    bank.run("order", "place", AKSU / "demand.json", "--at", ORDERED)
    bank.run("receive", "--partner", PARTNER, AKSU / "messages.jsonl", "--at", COMPLETED)
    done = bank.run("work", "--at", COMPLETED)
    assert done["settled"] == 0
    assert {each["code"] for each in done["settlement_refusals"]} == {"rule_missing"}
    assert "not settled: rule_missing" in bank.say("work", "--at", COMPLETED)[1]


def test_what_was_set_aside_is_listed_and_retried(bank: Bank) -> None:
    """What fails too often is set aside visibly; `outbox retry` makes it due again."""
    bank.placed()
    outbound = bank.mailbox / "outbound"
    outbound.write_text("in the way")
    done = bank.run("work", "--at", ORDERED)
    assert (done["sent"], done["set_aside"]) == (0, 0)
    assert done["failed"] > 0
    waiting = bank.run("outbox", "list", "--state", "waiting")
    assert {each["attempts"] for each in waiting} == {0, 1}
    assert ORDER.replace(":", "~") in bank.say("outbox", "list", "--state", "waiting")[1]
    assert bank.run("outbox", "list") == []
    said = [
        bank.say("work", "--at", f"2026-09-{day:02d}T10:00:00+08:00")[1] for day in range(2, 20)
    ]
    assert any("failed, tried again later" in each for each in said)
    assert any("`consignment outbox list`" in each for each in said)
    aside = bank.run("outbox", "list", "--state", "set_aside")
    (placed,) = [each for each in aside if each["order_id"] == ORDER]
    assert (placed["state"], placed["kind"]) == ("set_aside", "message")
    assert placed["last_error"]
    assert placed["entry_id"] in bank.say("outbox", "list")[1]

    outbound.unlink()
    later = ("--at", "2026-09-21T10:00:00+08:00")
    retried = bank.run("outbox", "retry", placed["entry_id"], "--actor", "wang", *later)
    assert (retried["state"], retried["attempts"]) == ("waiting", 0)
    other = next(each for each in aside if each is not placed)
    assert "is due again" in bank.say("outbox", "retry", other["entry_id"], *later)[1]
    again = bank.run("outbox", "retry", placed["entry_id"], expect=1)
    assert codes(again) == ["entry_state"]
    assert bank.run("work", *later)["sent"] > 0
    (order,) = bank.run("order", "show", ORDER)["orders"]
    assert order["state"] == "dispatched"


def test_what_a_crashed_worker_left_is_taken_up_at_once(bank: Bank) -> None:
    """Alone at work, a worker takes up what a crashed one had claimed, whatever its lease."""
    bank.placed()
    lease_everything(bank)
    done = bank.run("work", "--at", ORDERED)
    assert done["recovered"] > 0
    (order,) = bank.run("order", "show", ORDER)["orders"]
    assert order["state"] == "dispatched"


def test_beside_another_worker_nothing_is_recovered(bank: Bank) -> None:
    """While another worker is at work its claims are left to it."""
    bank.placed()
    lease_everything(bank)
    with working(bank.database, lambda: 0):
        code, out, err = bank.process("work", "--json", "--at", ORDERED)
    assert (code, err) == (0, "")
    done = json.loads(out)
    assert (done["recovered"], done["expired"]) == (0, 0)
    (order,) = bank.run("order", "show", ORDER)["orders"]
    assert order["state"] == "placed"


@pytest.mark.parametrize(
    "database",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:shared?mode=memory&uri=true",
        "postgresql://host/bank",
        "sqlite:////nowhere/at/all.db",
    ],
)
def test_no_lock_where_there_can_be_none(database: str) -> None:
    """Where there is no file to lock beside the database, nothing is recovered at once."""
    with working(database, lambda: 7) as recovered:
        assert recovered == 0


def test_a_lock_beside_a_database(tmp_path: Path) -> None:
    """The first worker recovers, one beside it does not, and the next one alone does again."""
    database = f"sqlite+pysqlite:///file:{tmp_path}/bank.db?uri=true"
    with working(database, lambda: 7) as first, working(database, lambda: 7) as second:
        assert (first, second) == (7, 0)
    with working(database, lambda: 7) as third:
        assert third == 7
    assert (tmp_path / "bank.db.work.lock").exists()


def wait_for(process: Popen[bytes], bank: Bank, state: str) -> None:
    """Wait until a worker has brought the order into a state."""
    for _ in range(200):
        assert process.poll() is None, process.communicate()
        (order,) = bank.run("order", "show", ORDER)["orders"]
        if order["state"] == state:
            return
        time.sleep(0.05)
    pytest.fail(f"the order did not become {state}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_working_for_good_until_a_signal(bank: Bank, number: signal.Signals) -> None:
    """`work --forever` does what becomes due, and ends with 0 and its counts on a signal."""
    bank.placed()
    with bank.start(
        "work", "--forever", "--interval", "0.05", "--at", ORDERED, "--json"
    ) as process:
        wait_for(process, bank, "dispatched")
        inbound = bank.mailbox / "inbound" / PARTNER
        inbound.mkdir(parents=True)
        line = (AKSU / "messages.jsonl").read_bytes().splitlines()[0]
        bank.write("aside.json", line).rename(inbound / "1.json")
        wait_for(process, bank, "accepted")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    done = json.loads(out)
    assert done["received"]["taken"] == 1
    assert done["sent"] > 0


def test_working_for_good_for_people(bank: Bank) -> None:
    """People read a line for each round in which something was done."""
    bank.placed()
    with bank.start("work", "--forever", "--interval", "0.05", "--at", ORDERED) as process:
        wait_for(process, bank, "dispatched")
        bank.mailbox.rename(bank.folder / "elsewhere")
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "messages sent" in out.decode().splitlines()[0]
    assert "the drop's folder is not there" in out.decode()


def test_a_worker_waits_for_a_locked_database(bank: Bank) -> None:
    """A database that is locked for a while does not end `work --forever`."""
    bank.placed()
    with (
        bank.start("work", "--forever", "--interval", "0.05", "--at", ORDERED) as process,
        closing(sqlite3.connect(bank.folder / "bank.db", isolation_level=None)) as other,
    ):
        wait_for(process, bank, "dispatched")
        other.execute("BEGIN IMMEDIATE")
        assert process.stderr is not None
        told = process.stderr.readline().decode()
        other.execute("ROLLBACK")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert "to be tried again" in told


def test_a_second_signal_acts_as_ever() -> None:
    """The first signal is noted, the second one does what it did before."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        with until_signalled() as stop:
            assert not stop.requested
            signal.raise_signal(signal.SIGTERM)
            assert stop.wait(10)
            assert came == []
            signal.raise_signal(signal.SIGTERM)
            assert came == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert len(came) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_signals_are_left_alone_in_other_threads() -> None:
    """A thread that is not the main one cannot note signals, and works all the same."""
    told: list[bool] = []

    def work() -> None:
        with until_signalled() as stop:
            told.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [False]
