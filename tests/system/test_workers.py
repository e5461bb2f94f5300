"""Several workers at once, as processes and as threads: each effect happens once."""

from __future__ import annotations

import asyncio
import json
import shutil
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from consignment.adapters.filedrop import FileDrop
from consignment.desk import Consignment
from consignment.domain.errors import Refused
from consignment.domain.order import OrderState
from consignment.testing import builders
from tests.system.desks import balance
from tests.system.racing import open_desk, work_at_once
from tests.system.snapshot import Snapshot, check, connect, of_sqlite

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from consignment.adapters.sqlalchemy import Ledger

ORDERS = 120
RACES = 3
PARTNER = "green-farm"
WORKED_AT = builders.NOW.replace(day=2)


def prepare(folder: Path) -> None:
    """Make a bank with orders to settle, credits, messages, sales data and files that are due."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'bank.db'}"
    Consignment.open(url, mailbox=folder / "mailbox").close()
    with open_desk(folder, builders.NOW) as desk:
        desk.admission.set_policy(builders.a_policy())
        desk.admission.request(builders.an_admission_request())
        row = {"number": "APPLE", "name": "苹果", "unit": "BX", "currency": "CNY"}
        desk.catalogue.import_products(PARTNER, [{**row, "agreed_price": "68.80"}])
        desk.quotas.set([builders.a_quota("total", "99999999.00")])
        desk.settlement.add_rule(builders.a_rule())
        for i in range(4):
            desk.sales_partners.add(builders.a_sales_partner(f"sp-{i}", cron="0 */4 * * *"))
        demands = [
            builders.a_demand(f"D-{i}", ("APPLE", "10"), sales_partner_id=f"sp-{i % 4}")
            for i in range(ORDERS)
        ]
        desk.dispatch.place_many(demands)
        for i in range(ORDERS - 20):
            order_id = f"D-{i}:{PARTNER}"
            reports = [
                builders.accepted(order_id, report_id=f"A-{i}"),
                builders.procured(order_id, report_id=f"P-{i}"),
                builders.sold(order_id, report_id=f"S-{i}"),
                builders.completed(order_id, report_id=f"C-{i}"),
            ]
            assert all(each.taken for each in desk.reporting.take_many(PARTNER, reports))
        assert isinstance(desk.messaging, FileDrop)
        inbound = desk.messaging.make_inbound(PARTNER)
        for i in range(ORDERS - 20, ORDERS):
            event = {
                "specversion": "1.0",
                "id": f"A-{i}",
                "source": "/partners/green-farm",
                "type": "consignment.order.accepted",
                "time": "2026-09-01T12:00:00Z",
                "data": {"order_id": f"D-{i}:{PARTNER}"},
            }
            (inbound / f"{i}.json").write_text(json.dumps(event))


def state_of(folder: Path) -> Snapshot:
    """Read what a folder's database holds."""
    connection = connect(folder / "bank.db")
    try:
        return of_sqlite(connection)
    finally:
        connection.close()


def expect_everything_once(folder: Path, done: list[dict[str, int]]) -> None:
    """Check that both workers together did everything, and nothing twice."""
    total = {name: sum(each[name] for each in done) for name in done[0]}
    settled = ORDERS - 20
    pushes = 4 * 6
    # Placed and, for those sold, procured and settled to both; and the sales data.
    messages = ORDERS + settled + 2 * settled + pushes
    assert total == {
        "taken": 20,
        "pushed": pushes,
        "settled": settled,
        "credited": 2 * settled,
        "delivered": messages,
        "expired": 0,
    }
    shot = state_of(folder)
    check(shot)
    assert {entry["state"] for entry in shot.outbox.values()} == {"done"}
    assert len(shot.postings) == 2 * 2 * settled
    mailbox = folder / "mailbox"
    files = [path.name for path in (mailbox / "outbound").rglob("*.json")]
    assert len(files) == messages
    inbound = mailbox / "inbound" / PARTNER
    assert len(list((inbound / "done").iterdir())) == 20
    assert [path for path in inbound.iterdir() if path.is_file()] == []
    assert not (inbound / "refused").exists()
    with open_desk(folder, WORKED_AT) as desk:
        ledger: Ledger = desk.crediting  # type: ignore[assignment] # that of the embedded default
        assert balance(ledger, "bank") == f"{3860 * settled // 100}.00"
        assert desk.dispatch.order(f"D-0:{PARTNER}").state is OrderState.CLOSED


def test_two_processes_work_at_once(tmp_path: Path) -> None:
    """Pushes, settlements, credits, deliveries and inbound files: each once, whoever does it."""
    template = tmp_path / "template"
    prepare(template)
    folders = [tmp_path / f"race-{i}" for i in range(RACES)]
    for folder in folders:
        shutil.copytree(template, folder)
    context = get_context("spawn")
    start = context.Barrier(2)
    pipes: list[Connection] = []
    workers = []
    for _ in range(2):
        pipe, told = context.Pipe(duplex=False)
        pipes.append(pipe)
        arguments = (folders, WORKED_AT, 2, start, told)
        workers.append(context.Process(target=work_at_once, args=arguments))
    for worker in workers:
        worker.start()
    done: list[list[dict[str, Any]]] = [pipe.recv() if pipe.poll(240) else [] for pipe in pipes]
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    for folder, *of_both in zip(folders, *done, strict=True):
        # A round ends when the other worker has claimed the rest; one more finds nothing left.
        with open_desk(folder, WORKED_AT) as desk:
            rest = desk.work()
            assert (rest.received.taken, rest.pushed, rest.settled.settled) == (0, 0, 0)
            last = {**dict.fromkeys(of_both[0], 0), "delivered": rest.messages.done}
            last["credited"] = rest.credits.done
        expect_everything_once(folder, [*of_both, last])


def test_an_async_host_asks_in_threads(tmp_path: Path) -> None:
    """Several calls at once by `asyncio.to_thread`: all are answered, and the quota holds."""
    folder = tmp_path / "bank"
    prepare(folder)

    async def place(desk: Consignment, i: int) -> object:
        try:
            demand = builders.a_demand(f"E-{i}", ("APPLE", "1"), sales_partner_id="sp-0")
            return await asyncio.to_thread(desk.dispatch.place, demand)
        except Refused as refused:
            return refused.codes

    async def host(desk: Consignment) -> list[object]:
        limit = f"{688 * ORDERS + 344}.00"
        await asyncio.to_thread(desk.quotas.set, [builders.a_quota("total", limit)])
        return await asyncio.gather(
            *(place(desk, i) for i in range(12)),
            *(asyncio.to_thread(desk.progress.by_number, "APPLE") for _ in range(4)),
            *(asyncio.to_thread(desk.audit._page, None, 0) for _ in range(2)),
        )

    with open_desk(folder, builders.NOW) as desk:
        answers = asyncio.run(host(desk))
        placed = [each for each in answers[:12] if each != ("quota_exceeded",)]
        assert len(placed) == 5
        check(state_of(folder))

        async def work() -> list[Any]:
            return await asyncio.gather(*(asyncio.to_thread(desk.work) for _ in range(3)))

        done = asyncio.run(work())
        assert sum(each.settled.settled for each in done) == ORDERS - 20
        assert sum(each.credits.done for each in done) == 2 * (ORDERS - 20)
        check(state_of(folder))
