"""Eight processes at once, on each engine: every count is exact; who may deadlock, `CIRCLES` says.

What the counters must be is computed anew from the rows that they count (`snapshot.check`).
Deadlocks are counted where the engine tells the process of them (`Crew.at_once`), and by the
engine itself.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from sqlalchemy import text
from sqlalchemy.engine import make_url

from consignment.domain.journal import FactKind
from consignment.testing import builders
from tests import engines
from tests.system import racing
from tests.system.mixing import FARMS, mix
from tests.system.snapshot import Eye, Snapshot, check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from consignment.adapters.sqlalchemy import Ledger
    from tests.system.crew import Crew, Job, Place
    from tests.system.racing import Command

PARTNER = "green-farm"
PRICE = 6880


def row(number: str, **changes: str) -> dict[str, str]:
    """Give a row of a product import: boxes at 68.80."""
    plain = {"number": number, "name": f"产品 {number}", "unit": "BX", "currency": "CNY"}
    return {**plain, "agreed_price": "68.80", **changes}


def open_shop(place: Place, stock: dict[str, Sequence[str]]) -> None:
    """Admit partners and import their products; there are two sales partners, and a rule."""
    with place.open() as desk:
        desk.admission.set_policy(builders.a_policy())
        for partner_id, numbers in stock.items():
            lines = ("retail", "corporate")
            desk.admission.request(
                builders.an_admission_request(f"ADM-{partner_id}", partner_id, lines=lines)
            )
            desk.catalogue.import_products(partner_id, map(row, numbers))
        desk.sales_partners.add(builders.a_sales_partner())
        desk.sales_partners.add(builders.a_sales_partner("sp-2", cron="0 */4 * * *"))
        desk.settlement.add_rule(builders.a_rule())


def state_of(place: Place) -> Snapshot:
    """Give what the database holds, after checking that it holds together."""
    eye = Eye(place.url)
    try:
        shot = eye.look()
    finally:
        eye.close()
    check(shot)
    return shot


def _deadlocks(engine: str, name: str) -> int:
    """Ask the engine how often it broke a circle of waiting transactions in this database."""
    with engines.admin(engine).connect() as connection:
        if engine == "postgresql":
            counting = "SELECT deadlocks FROM pg_stat_database WHERE datname = :name"
            return int(connection.scalar(text(counting), {"name": name}) or 0)
        # Its counter is the whole server's, which others use too: the latest says whose it was.
        status = str(connection.execute(text("SHOW ENGINE INNODB STATUS")).one()[2])
        found = re.search(r"LATEST DETECTED DEADLOCK(.*?)\n-+\nTRANSACTIONS\n", status, re.DOTALL)
        return int(found is not None and f"`{name}`" in found[1])


@pytest.fixture(autouse=True)
def no_deadlocks(request: pytest.FixtureRequest, engine: str, place: Place) -> Iterator[None]:
    """Assert that the engine counted no deadlock during the test, unless it may."""
    name = make_url(place.url).database or ""
    before = _deadlocks(engine, name) if engine in engines.SERVERS else 0
    yield
    if engine in engines.SERVERS and not (engine == "mariadb" and request.function in CIRCLES):
        assert _deadlocks(engine, name) == before


def deal(items: Sequence[Any], hands: int) -> list[list[Any]]:
    """Deal items to so many hands in turn."""
    return [list(items[i::hands]) for i in range(hands)]


def test_sales_of_one_hot_product(crew: Crew, place: Place) -> None:
    """Eight processes report sales and returns of one product of ten orders; all of it counts."""
    orders, each_sells = 10, 40
    open_shop(place, {PARTNER: ["APPLE"]})
    with place.open() as desk:
        for i in range(orders):
            desk.dispatch.place(builders.a_demand(f"D-{i}", ("APPLE", "200")))
            ready = [
                builders.accepted(f"D-{i}:{PARTNER}", report_id=f"A-{i}"),
                builders.procured(
                    f"D-{i}:{PARTNER}", ("APPLE", "200", "49.50"), report_id=f"P-{i}"
                ),
            ]
            desk.reporting.take_many(PARTNER, ready)

    def sales(me: int) -> list[Any]:
        """Four sales and the return of one of them, of several orders, in each transaction."""
        batches = []
        for n in range(0, each_sells, 4):
            of = [f"D-{(me * 3 + n + k) % orders}:{PARTNER}" for k in range(4)]
            batch = [
                builders.sold(order_id, ("APPLE", "2", "70.00"), report_id=f"S-{me}-{n + k}")
                for k, order_id in enumerate(of)
            ]
            back = builders.returned(of[-1], ("APPLE", "1", "70.00"), report_id=f"R-{me}-{n}")
            batches.append((PARTNER, [*batch, back]))
        return batches

    # The last process sends the same as the first one.
    jobs: list[Job] = [(racing.report, (sales(me % 7),)) for me in range(8)]
    answers = crew.at_once(place, jobs)
    sold, returned = 7 * each_sells * 2, 7 * each_sells // 4
    reports = 7 * (each_sells + each_sells // 4)
    assert sum(taken for taken, _ in answers) == reports
    assert sum(repeated for _, repeated in answers) == reports // 7
    product = state_of(place).products["APPLE"]
    assert (product["sold"], product["returned"]) == (sold, returned)
    assert product["gross_sales_minor"] - product["returns_minor"] == (sold - returned) * 7000


def test_a_quota_that_fits_fifty_of_two_hundred_orders(crew: Crew, place: Place) -> None:
    """Of two hundred orders at once exactly as many stand as fit, and they are what is used."""
    open_shop(place, {PARTNER: ["APPLE", "RICE"], "farm-2": ["TEA"]})
    with place.open() as desk:
        limits = {"total": 50 * 10 * PRICE + 10 * PRICE - 1, "partner:farm-2": 10**9}
        desk.quotas.set(
            [
                builders.a_quota(scope, f"{limit // 100}.{limit % 100:02d}")
                for scope, limit in {**limits, "product:APPLE": 10**9}.items()
            ]
        )
    goods = ("APPLE", "RICE", "TEA")
    demands = [builders.a_demand(f"D-{i}", (goods[i % 3], "10")) for i in range(200)]
    jobs: list[Job] = [
        (racing.place_all, (hand, 1 if me % 2 else 5)) for me, hand in enumerate(deal(demands, 8))
    ]
    told = Counter(each for answer in crew.at_once(place, jobs) for each in answer)
    assert told == {"placed": 50, ("quota_exceeded",): 150}
    shot = state_of(place)
    assert len(shot.orders) == 50
    assert shot.quotas["total", "CNY"] == (limits["total"], 50 * 10 * PRICE)


COMMANDS: list[Command] = [
    ("admission", "set_policy", (builders.a_policy(),), {}),
    ("admission", "request", (builders.an_admission_request(lines=("retail", "corporate")),), {}),
    (
        "admission",
        "request",
        (builders.an_admission_request("ADM-2", "farm-2", assessments=()),),
        {},
    ),
    ("admission", "assess", ("ADM-2", builders.assessments()), {"actor": "officer:li"}),
    ("catalogue", "import_products", (PARTNER, [row("APPLE"), row("RICE")]), {}),
    ("catalogue", "import_products", ("farm-2", [row("TEA"), row("APPLE")]), {}),
    ("sales_partners", "add", (builders.a_sales_partner(cron="0 */4 * * *"),), {}),
    ("settlement", "add_rule", (builders.a_rule(),), {}),
    ("quotas", "set", ([builders.a_quota("total"), builders.a_quota("partner:farm-2")],), {}),
    ("dispatch", "place", (builders.a_demand("D-1", ("APPLE", "10"), ("TEA", "3")),), {}),
    ("dispatch", "place", (builders.a_demand("D-2", ("RICE", "10")),), {}),
    (
        "dispatch",
        "place_many",
        ([builders.a_demand(f"D-{i}", ("TEA", "1"), ("RICE", "1")) for i in (3, 2, 4)],),
        {},
    ),
    ("dispatch", "cancel", ("D-2:green-farm",), {"why": "甲"}),
    ("reporting", "take", (PARTNER, builders.accepted()), {}),
    ("reporting", "take", ("farm-2", builders.accepted("D-3:farm-2")), {}),
    ("reporting", "take", (PARTNER, builders.sold(report_id="TOO-SOON")), {}),
    ("reporting", "take", (PARTNER, builders.procured()), {}),
    (
        "reporting",
        "take",
        ("farm-2", builders.procured("D-3:farm-2", ("TEA", "1", "1.00"), report_id="PR-2")),
        {},
    ),
    ("dispatch", "short_close", ("D-3:farm-2",), {"why": "乙"}),
    ("reporting", "take_many", (PARTNER, [builders.sold(), builders.completed()]), {}),
    ("settlement", "settle", ("D-1:green-farm",), {}),
]
#: What moves a partner is refused where it has been moved already.
MOVES: list[Command] = [
    ("admission", "suspend", ("farm-2",), {"why": "检查", "actor": "officer:li"}),
    ("admission", "reinstate", ("farm-2",), {"why": "没事", "actor": "officer:li"}),
    ("admission", "exit", ("farm-2",), {"why": "停业", "actor": "officer:li"}),
]


def test_every_command_submitted_by_all(crew: Crew, place: Place) -> None:
    """Each command comes from eight processes at the same moment: one answer, one effect."""
    jobs: list[Job] = [(racing.submit, ([*COMMANDS, *MOVES],))] * 8
    told = crew.at_once(place, jobs)
    for command, *answers in zip([*COMMANDS, *MOVES], *told, strict=True):
        if command in MOVES:
            refused = [each for each in answers if isinstance(each, tuple)]
            assert len(refused) == 7, command
            answers = refused  # noqa: PLW2901 - the others
        others = [answer for answer in answers if answer != answers[0]]
        assert not others, f"{command[:2]}: {answers[0]}, and also {others[0]}"
    shot = state_of(place)
    assert {order_id: order["state"] for order_id, order in shot.orders.items()} == {
        "D-1:green-farm": "settled",
        "D-1:farm-2": "placed",
        "D-2:green-farm": "cancelled",
        "D-3:farm-2": "on_sale",
        "D-3:green-farm": "placed",
        "D-4:farm-2": "placed",
        "D-4:green-farm": "placed",
    }
    kinds = Counter(FactKind(fact[0]) for fact in shot.facts)
    # Setting a quota is a fact each time it is done, however often the same is set.
    assert kinds.pop(FactKind.QUOTA_SET) == 8 * 2
    assert kinds == {
        FactKind.POLICY_SET: 1,
        FactKind.ADMISSION_DECIDED: 3,
        FactKind.PRODUCTS_IMPORTED: kinds[FactKind.PRODUCTS_IMPORTED],
        FactKind.SALES_PARTNER_SET: 1,
        FactKind.RULE_ADDED: 1,
        FactKind.ORDER_PLACED: 7,
        FactKind.ORDER_CANCELLED: 1,
        FactKind.REPORT_TAKEN: 6,
        FactKind.REPORT_REFUSED: 1,
        FactKind.ORDER_SHORT_CLOSED: 1,
        FactKind.ORDER_SETTLED: 1,
        FactKind.PARTNER_SUSPENDED: 1,
        FactKind.PARTNER_REINSTATED: 1,
        FactKind.PARTNER_EXITED: 1,
    }


def finish(place: Place) -> None:
    """Let time pass and the desk work until nothing is left to be done."""
    for _ in range(20):
        place = evolve(place, now=place.now + timedelta(hours=1))
        with place.open(racing.LosingDrop) as desk:
            try:
                desk.work()
            except racing.Died:
                continue
            if not desk.relay.waiting():
                return
    pytest.fail("there is always something left to be done")


def test_relays_workers_and_reports_at_once(crew: Crew, place: Place) -> None:
    """Two relays and two workers, which die at times, while orders complete.

    Each credit is booked once, each message comes with the same content each time and in its
    order's order, and each order ends closed.
    """
    orders = 48
    open_shop(place, {PARTNER: ["APPLE"], "farm-2": ["TEA"]})
    demands = [builders.a_demand(f"D-{i}", ("APPLE", "10"), ("TEA", "5")) for i in range(orders)]
    reports = []
    for i in range(orders):
        for partner_id, goods in ((PARTNER, ("APPLE", "10")), ("farm-2", ("TEA", "5"))):
            order_id = f"D-{i}:{partner_id}"
            batch = [
                builders.accepted(order_id, report_id=f"A-{i}"),
                builders.procured(order_id, (*goods, "49.50"), report_id=f"P-{i}"),
                builders.sold(order_id, (*goods, "68.80"), report_id=f"S-{i}"),
                builders.completed(order_id, report_id=f"C-{i}"),
            ]
            reports.append((partner_id, batch))
    with place.open() as desk:
        desk.dispatch.place_many(demands)
    # A worker finds the orders that are completed meanwhile; the clock is the same for all.
    carrying: list[Job] = [*[(racing.relay, (5.0,))] * 2, *[(racing.work, (5.0,))] * 2]
    reporting: list[Job] = [(racing.report, (hand,)) for hand in deal(reports, 4)]
    answers = crew.at_once(place, [*carrying, *reporting], mailbox=racing.LosingDrop)
    assert sum(taken for taken, _ in answers[4:]) == 8 * orders
    state_of(place)
    finish(place)
    shot = state_of(place)
    assert {order["state"] for order in shot.orders.values()} == {"closed"}
    assert {entry["state"] for entry in shot.outbox.values()} == {"done"}
    # To the sales partner and to the bank, for each order.
    assert len(shot.postings) == 2 * 2 * 2 * orders
    expect_delivered(place, shot)


def expect_delivered(place: Place, shot: Snapshot) -> None:
    """Check that all messages came, each with one content, those of a stream in their order."""
    contents: dict[str, set[str]] = defaultdict(set)
    streams: dict[str, list[str]] = defaultdict(list)
    for line in (place.mailbox / "delivered").read_text("utf-8").splitlines():
        stream, message_id, content = json.loads(line)
        if message_id not in contents:
            streams[stream].append(message_id)
        contents[message_id].add(content)
    wanted = {id_ for id_, entry in shot.outbox.items() if entry["kind"] == "message"}
    assert contents.keys() == wanted
    assert {len(each) for each in contents.values()} == {1}
    for came in streams.values():
        positions = [shot.outbox[message_id]["position"] for message_id in came]
        assert positions == sorted(positions)


def test_imports_of_overlapping_files(crew: Crew, place: Place, tmp_path: Path) -> None:
    """Files of two partners, with the same numbers in part, by four processes each.

    Each number belongs to whoever came first, the other is told so for each of its rows, and each
    product is as one of its owner's files says, by number and by name.
    """
    with place.open() as desk:
        desk.admission.set_policy(builders.a_policy())
        for farm in FARMS:
            desk.admission.request(builders.an_admission_request(f"ADM-{farm}", farm))
    numbers = [f"N-{i:04}" for i in range(800)]
    offered: dict[int, list[str]] = {}
    jobs: list[Job] = []
    for me in range(8):
        mine = numbers[100 * (me // 2) : 100 * (me // 2) + 500]
        random.Random(me).shuffle(mine)
        offered[me] = mine
        path = tmp_path / f"{me}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            columns = csv.DictWriter(file, list(row("")))
            columns.writeheader()
            columns.writerows(row(each, name=f"货 {each} {me}文") for each in mine)
        jobs.append((racing.import_file, (FARMS[me % 2], path)))
    answers = crew.at_once(place, jobs, deadlocks=place.url.startswith("mariadb"))
    shot = state_of(place)
    assert shot.products.keys() == {each for mine in offered.values() for each in mine}
    for me, (counts, landed, rejected) in enumerate(answers):
        own = {each for each in offered[me] if shot.products[each]["partner_id"] == FARMS[me % 2]}
        assert set(landed) == own
        assert sum(counts) == len(landed) == len(own)
        assert sorted(rejected) == [(each, "number_taken") for each in sorted({*offered[me]} - own)]
    assert sum(counts[0] for counts, *_ in answers) == len(shot.products)
    with place.open() as desk:
        for me in range(8):
            named = {n for n, each in shot.products.items() if each["name"].endswith(f"{me}文")}
            assert all(shot.products[n]["partner_id"] == FARMS[me % 2] for n in named)
            found = desk.progress.by_name(f"{me}文", limit=1000).products
            assert {each.product_number for each in found} == named


def rush(crew: Crew, place: Place, *, quotas: bool) -> None:
    """Demands, reports, imports, settlements and work with many products, in any order."""
    stock = {farm: [f"{farm}-{i}" for i in range(12)] for farm in FARMS}
    open_shop(place, {farm: list(numbers) for farm, numbers in stock.items()})
    numbers = [number for each in stock.values() for number in each]
    with place.open() as desk:
        scopes = ["total", *(f"partner:{each}" for each in FARMS), f"product:{numbers[0]}"]
        desk.quotas.set([builders.a_quota(scope, "5000.00") for scope in scopes])
    jobs: list[Job] = [(mix, (me, numbers, 6.0, quotas)) for me in range(8)]
    circles = place.url.startswith("mariadb")
    assert min(crew.at_once(place, jobs, deadlocks=circles)) > 0
    assert state_of(place).orders
    with evolve(place, now=place.now + timedelta(days=1)).open() as desk:
        desk.work()
        ledger: Ledger = desk.crediting  # type: ignore[assignment] # that of `Place`
        assert not list(ledger.check())
    state_of(place)


def test_everything_at_once(crew: Crew, place: Place) -> None:
    """Everything but setting quotas: all counts are exact, and on PostgreSQL nobody deadlocks."""
    rush(crew, place, quotas=False)


def test_quotas_are_set_beside_orders(crew: Crew, place: Place) -> None:
    """Quotas are set too, among orders that count for them and some that never did."""
    rush(crew, place, quotas=True)


#: Where MariaDB may meet a circle of waiting transactions: several bring the same new key, and the
#: first of them is rolled back (decision 19).
CIRCLES = {
    test_everything_at_once,
    test_imports_of_overlapping_files,
    test_quotas_are_set_beside_orders,
}
