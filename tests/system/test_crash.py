"""Killed between any two statements of `work`, and started again: nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from consignment.adapters.sqlalchemy import upgrade
from consignment.domain.order import OrderState
from consignment.testing import builders
from tests.system.crashing import NOW, open_desk
from tests.system.desks import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from consignment.desk import Consignment

#: Kill at every point, or only at every so manyth.
EVERY = int(os.environ.get("CONSIGNMENT_CRASH_EVERY", "1"))
SHARDS = min(4, os.cpu_count() or 1)


def event(kind: str, report_id: str, data: dict[str, Any]) -> str:
    """Write a message as a partner sends it."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": report_id,
            "source": "/partners",
            "type": f"consignment.{kind}",
            "time": "2026-09-10T01:00:00Z",
            "data": data,
        }
    )


def goods(order_id: str, **amount: str) -> dict[str, Any]:
    """Write of ten boxes of what an order's partner sells."""
    line = {"product_number": order_id.partition(":")[2].upper(), "quantity": "10", **amount}
    return {"order_id": order_id, "lines": [line]}


def take(desk: Consignment, order_id: str, *kinds: str) -> None:
    """Let a partner report of ten boxes."""
    partner_id = order_id.partition(":")[2]
    number = partner_id.upper()
    make: dict[str, Any] = {
        "accepted": lambda id_: builders.accepted(order_id, report_id=id_),
        "procured": lambda id_: builders.procured(order_id, (number, "10", "49.50"), report_id=id_),
        "sold": lambda id_: builders.sold(order_id, (number, "10", "68.80"), report_id=id_),
        "completed": lambda id_: builders.completed(order_id, report_id=id_),
    }
    for kind in kinds:
        answer = desk.reporting.take(partner_id, make[kind](f"{kind}-{order_id[:3]}"))
        assert answer.taken, answer.reasons


def prepare(folder: Path) -> None:
    """Make a bank in which everything that `work` does is due, of each kind something."""
    folder.mkdir()
    upgrade(f"sqlite:///{folder / 'bank.db'}")
    (folder / "mailbox").mkdir()
    with open_desk(folder, datetime(2026, 9, 1, 2, 0, tzinfo=UTC)) as desk:
        desk.admission.set_policy(builders.a_policy())
        desk.sales_partners.add(builders.a_sales_partner())
        desk.settlement.add_rule(builders.a_rule())
        for partner_id in ("farm-1", "farm-2"):
            desk.admission.request(builders.an_admission_request(f"A-{partner_id}", partner_id))
            row = {"number": partner_id.upper(), "name": "苹果", "unit": "BX", "currency": "CNY"}
            desk.catalogue.import_products(partner_id, [{**row, "agreed_price": "68.80"}])
        desk.quotas.set([builders.a_quota(), builders.a_quota("partner:farm-1", "9000.00")])
        # Nobody answers: it expires. Its message has been delivered.
        desk.dispatch.place(builders.a_demand("D-0", ("FARM-1", "10")))
        desk.relay.deliver_due()
    with open_desk(folder, NOW.replace(minute=0, hour=0)) as desk:
        desk.sales_partners.add(builders.a_sales_partner("sp-wu", cron="0 * * * *"))
        for i in (1, 2, 3, 4):
            sales_partner_id = "sp-wu" if i % 2 else "sp-li"
            demand = builders.a_demand(
                f"D-{i}",
                ("FARM-1", "10"),
                *([("FARM-2", "10")] if i == 3 else []),
                sales_partner_id=sales_partner_id,
            )
            desk.dispatch.place(demand)
        # One is to be settled, one has credits due; and of one it is reported that it is done.
        take(desk, "D-1:farm-1", "accepted", "procured", "sold", "completed")
        take(desk, "D-2:farm-1", "accepted", "procured", "sold", "completed")
        desk.settlement.settle("D-2:farm-1")
        take(desk, "D-3:farm-2", "accepted", "procured")
        drop = desk.messaging
        farm_1, farm_2 = (drop.make_inbound(each) for each in ("farm-1", "farm-2"))  # type: ignore[attr-defined] # a drop
        sold = goods("D-3:farm-2", unit_price="70.00")
        (farm_2 / "1.jsonl").write_text(
            "\n".join(
                [
                    event("goods.sold", "S-1", sold),
                    event("goods.sold", "S-1", sold),
                    event("order.completed", "C-1", {"order_id": "D-3:farm-2"}),
                ]
            )
        )
        (farm_2 / "2.json").write_text(
            event("goods.sold", "S-2", goods("D-1:farm-1", unit_price="1"))
        )
        (farm_1 / "1.jsonl").write_text(
            "\n".join(
                [
                    event("order.accepted", "A-4", {"order_id": "D-4:farm-1"}),
                    event("goods.procured", "P-4", goods("D-4:farm-1", unit_cost="1.00")),
                    event("goods.sold", "S-4", goods("D-4:farm-1", unit_price="-1.00")),
                    "this is no message",
                ]
            )
        )
        (farm_1 / "2.jsonl").write_text("")


def shard(template: Path, scratch: Path, first: int) -> subprocess.Popen[str]:
    """Begin to kill a worker at some of the points."""
    arguments = map(str, (template, scratch, first, SHARDS, EVERY))
    # What is killed has no coverage to tell.
    environment = {name: each for name, each in os.environ.items() if "COVERAGE" not in name}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.system.crashing", *arguments],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks a child for each point")
@pytest.mark.timeout(900)
def test_killed_anywhere_and_started_again(tmp_path: Path) -> None:
    """Whatever the point, the state is that of a run that was never interrupted."""
    template = tmp_path / "template"
    prepare(template)
    workers = [shard(template, tmp_path, first) for first in range(1, SHARDS + 1)]
    points: list[dict[str, Any]] = []
    passed: list[str] = []
    for worker in workers:
        out, errors = worker.communicate()
        assert worker.returncode == 0, errors
        head, *told = map(json.loads, out.splitlines())
        passed = head["passed"]
        points += told
    assert [each for each in points if "error" in each] == []
    wanted = len(passed) if EVERY == 1 else len(passed) // EVERY
    assert len(points) >= wanted > 100 // EVERY
    assert {each["before"] for each in points if EVERY == 1} >= {
        "BEGIN IMMEDIATE",
        "COMMIT",
        "os.rename 1.jsonl",
    }


def test_the_uninterrupted_run_does_something_of_each_kind(tmp_path: Path) -> None:
    """So that the points above are points of all that `work` does."""
    prepare(tmp_path / "bank")
    with open_desk(tmp_path / "bank") as desk:
        done = desk.work()
        assert (done.received.taken, done.received.repeated, done.received.refused) == (4, 1, 4)
        assert done.expired == 1
        assert done.pushed == 2
        assert done.settled.settled == 2
        assert done.credits.done == 6
        assert done.messages.done > 15
        assert (done.credits.failed, done.messages.failed) == (0, 0)
        states = {
            order_id: desk.dispatch.order(order_id).state
            for order_id in ("D-0:farm-1", "D-1:farm-1", "D-3:farm-2", "D-4:farm-1")
        }
        assert states == {
            "D-0:farm-1": OrderState.EXPIRED,
            "D-1:farm-1": OrderState.CLOSED,
            "D-3:farm-2": OrderState.CLOSED,
            "D-4:farm-1": OrderState.ON_SALE,
        }
