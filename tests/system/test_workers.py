"""Several workers at once, as processes and as threads: each effect happens once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from attrs import evolve

from consignment.adapters.filedrop import FileDrop
from consignment.domain.errors import Refused
from consignment.domain.order import OrderState
from consignment.testing import builders
from tests.system import racing
from tests.system.desks import balance
from tests.system.snapshot import Eye, Snapshot, check

if TYPE_CHECKING:
    from consignment.adapters.sqlalchemy import Ledger
    from consignment.desk import Consignment
    from tests.system.crew import Crew, Job, Place

ORDERS = 120
PARTNER = "green-farm"
WORKED_AT = builders.NOW.replace(day=2)


def prepare(place: Place) -> None:
    """Make a bank with orders to settle, credits, messages, sales data and files that are due."""
    with place.open() as desk:
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


def state_of(place: Place) -> Snapshot:
    """Read what the database holds."""
    eye = Eye(place.url)
    try:
        return eye.look()
    finally:
        eye.close()


def expect_everything_once(place: Place, done: list[dict[str, int]]) -> None:
    """Check that the workers together did everything, and nothing twice."""
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
    shot = state_of(place)
    check(shot)
    assert {entry["state"] for entry in shot.outbox.values()} == {"done"}
    assert len(shot.postings) == 2 * 2 * settled
    mailbox = place.mailbox
    files = [path.name for path in (mailbox / "outbound").rglob("*.json")]
    assert len(files) == messages
    inbound = mailbox / "inbound" / PARTNER
    assert len(list((inbound / "done").iterdir())) == 20
    assert [path for path in inbound.iterdir() if path.is_file()] == []
    assert not (inbound / "refused").exists()
    with place.open() as desk:
        ledger: Ledger = desk.crediting  # type: ignore[assignment] # that of the embedded default
        assert balance(ledger, "bank") == f"{3860 * settled // 100}.00"
        assert desk.dispatch.order(f"D-0:{PARTNER}").state is OrderState.CLOSED


def test_several_processes_work_at_once(crew: Crew, place: Place) -> None:
    """Pushes, settlements, credits, deliveries and inbound files: each once, whoever does it."""
    prepare(place)
    place = evolve(place, now=WORKED_AT)
    jobs: list[Job] = [(racing.work_rounds, (2,))] * len(crew)
    done = crew.at_once(place, jobs)
    # A round ends when the others have claimed the rest, and passes over what they hold.
    with place.open() as desk:
        done.append(racing.work_rounds(desk, int, 2))
        assert not any(racing.work_rounds(desk, int, 1).values())
    expect_everything_once(place, done)


def test_an_async_host_asks_in_threads(place: Place) -> None:
    """Several calls at once by `asyncio.to_thread`: all are answered, and the quota holds."""
    prepare(place)

    async def order(desk: Consignment, i: int) -> object:
        try:
            demand = builders.a_demand(f"E-{i}", ("APPLE", "1"), sales_partner_id="sp-0")
            return await asyncio.to_thread(desk.dispatch.place, demand)
        except Refused as refused:
            return refused.codes

    async def host(desk: Consignment) -> list[object]:
        limit = f"{688 * ORDERS + 344}.00"
        await asyncio.to_thread(desk.quotas.set, [builders.a_quota("total", limit)])
        return await asyncio.gather(
            *(order(desk, i) for i in range(12)),
            *(asyncio.to_thread(desk.progress.by_number, "APPLE") for _ in range(4)),
            *(asyncio.to_thread(desk.audit._page, None, 0) for _ in range(2)),
        )

    with place.open() as desk:
        answers = asyncio.run(host(desk))
        placed = [each for each in answers[:12] if each != ("quota_exceeded",)]
        assert len(placed) == 5
        check(state_of(place))

        async def work() -> list[Any]:
            return await asyncio.gather(*(asyncio.to_thread(desk.work) for _ in range(3)))

        done = asyncio.run(work())
        assert sum(each.settled.settled for each in done) == ORDERS - 20
        assert sum(each.credits.done for each in done) == 2 * (ORDERS - 20)
        check(state_of(place))
