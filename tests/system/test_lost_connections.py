"""Connections to a server that are lost, at any point: one answer, and one effect.

The same commands go to a desk in memory, whose connections are never lost; it is what is right.
"""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen
from sqlalchemy import NullPool, bindparam, create_engine, select, text
from sqlalchemy.engine import URL, make_url

from consignment.adapters.memory import ManualClock, MemoryLedger, MemoryMessaging, MemoryStorage
from consignment.adapters.sqlalchemy import Ledger, SqlStorage, tables
from consignment.adapters.sqlalchemy.statements import Lock, Statement
from consignment.desk import Consignment
from consignment.domain.errors import StorageBusy, StorageError, StorageUnreachable
from consignment.testing import builders
from tests import engines
from tests.system.proxy import COMMIT, Break, Proxy
from tests.system.snapshot import Eye, Snapshot, check, of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from consignment.adapters.sqlalchemy.statements import Session

FARM = "green-farm"
PORTS = {"postgresql": 5432, "mariadb": 3306}
PRODUCT = Statement(
    select(tables.products.c.number).where(
        tables.products.c.partner_id == FARM, tables.products.c.number == bindparam("number")
    ),
    "number",
)


@frozen
class Banks:
    """A desk whose line to the server breaks, one that has a good line, and one in memory."""

    engine: str
    url: str
    proxy: Proxy
    broken: Consignment
    direct: Consignment
    memory: Consignment

    def all(self, ask: Callable[[Consignment], object]) -> None:
        """Prepare the two stores for what is to come."""
        ask(self.direct)
        ask(self.memory)

    def kill(self, which: str = "") -> int:
        """Kill connections to the database from the server's side; give how many."""
        name = make_url(self.url).database
        with engines.admin(self.engine).connect() as connection:
            if self.engine == "postgresql":
                found = connection.execute(text(_PG_CONNECTIONS + which), {"name": name})
                return sum(1 for _ in found)
            found = connection.execute(text(_MARIADB_CONNECTIONS + which), {"name": name})
            ids = [int(row[0]) for row in found]
            for each in ids:
                connection.execute(text(f"KILL CONNECTION {each}"))
            return len(ids)

    def expect_one_truth(self) -> None:
        """Check that the database holds what the desk in memory does."""
        eye = Eye(self.url)
        try:
            found = eye.look()
        finally:
            eye.close()
        check(found)
        ledger = self.memory.crediting
        assert isinstance(ledger, MemoryLedger)
        assert isinstance(self.memory.storage, MemoryStorage)
        wanted = of_memory(self.memory.storage, ledger)
        for part in Snapshot.__slots__:
            if not part.startswith("_"):
                assert getattr(found, part) == getattr(wanted, part), part


_PG_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = :name AND pid <> pg_backend_pid()"
)
_MARIADB_CONNECTIONS = (
    "SELECT p.id FROM information_schema.processlist p"
    " LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id WHERE p.db = :name"
)
#: Those that wait for another's lock.
_WAITING = {
    "postgresql": " AND wait_event_type = 'Lock'",
    "mariadb": " AND t.trx_state = 'LOCK WAIT'",
}


def desk_at(url: str | URL, busy_timeout_s: float = 5.0) -> Consignment:
    """Open a desk over a server's database."""
    storage = SqlStorage.open(url, busy_timeout_s=busy_timeout_s)
    return Consignment(
        storage=storage,
        messaging=MemoryMessaging(),
        crediting=Ledger(storage),
        clock=ManualClock(builders.NOW),
    )


def through(proxy: Proxy, url: str, **query: str) -> URL:
    """Give an address by way of the proxy."""
    return make_url(url).set(host="127.0.0.1", port=proxy.port, query=query)


@pytest.fixture(params=engines.SERVERS)
def banks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Banks]:
    """Open the three desks, with all that is needed to sell apples."""
    engine: str = request.param
    url = engines.empty(engine, tmp_path, "lost")
    server = make_url(url)
    with Proxy(server.host or "127.0.0.1", server.port or PORTS[engine]) as proxy:
        memory = Consignment(
            storage=MemoryStorage(),
            messaging=MemoryMessaging(),
            crediting=MemoryLedger(),
            clock=ManualClock(builders.NOW),
        )
        with desk_at(through(proxy, url)) as broken, desk_at(url) as direct, memory:
            banks = Banks(engine, url, proxy, broken, direct, memory)
            banks.all(open_shop)
            yield banks


def row(number: str, price: str = "68.80") -> dict[str, str]:
    """Give a row of a product import."""
    plain = {"number": number, "name": f"产品 {number}", "unit": "BX", "currency": "CNY"}
    return {**plain, "agreed_price": price}


def open_shop(desk: Consignment) -> None:
    """Have all that is needed to sell apples."""
    desk.admission.set_policy(builders.a_policy())
    desk.admission.request(builders.an_admission_request())
    desk.catalogue.import_products(FARM, [row("APPLE"), row("TEA")])
    desk.sales_partners.add(builders.a_sales_partner())
    desk.settlement.add_rule(builders.a_rule())
    desk.dispatch.place(builders.a_demand("D-1", ("APPLE", "100000")))
    desk.reporting.take(FARM, builders.accepted())
    desk.reporting.take(FARM, builders.procured("D-1:green-farm", ("APPLE", "99999", "1.00")))


def nothing(_: Consignment, __: int) -> None:
    """There is nothing to prepare."""


def placed(desk: Consignment, i: int) -> None:
    """Have an order that can be cancelled."""
    desk.dispatch.place(builders.a_demand(f"E-{i}", ("APPLE", "1"), ("TEA", "2")))


def sold_out(desk: Consignment, i: int) -> None:
    """Have an order that can be settled."""
    placed(desk, i)
    order_id, goods = f"E-{i}:{FARM}", [("TEA", "2", "50.00"), ("APPLE", "1", "50.00")]
    reports = [
        builders.accepted(order_id, report_id=f"A-{i}"),
        builders.procured(order_id, *goods, report_id=f"P-{i}"),
        builders.sold(order_id, *goods, report_id=f"S-{i}"),
        builders.completed(order_id, report_id=f"C-{i}"),
    ]
    assert all(each.taken for each in desk.reporting.take_many(FARM, reports))


def admitted(desk: Consignment, i: int) -> None:
    """Have a partner that can be suspended."""
    desk.admission.request(builders.an_admission_request(f"ADM-f{i}", f"farm-{i}"))


def unassessed(desk: Consignment, i: int) -> None:
    """Have a request that waits for its assessments."""
    request = builders.an_admission_request(f"ADM-f{i}", f"farm-{i}", assessments=())
    desk.admission.request(request)


#: Each use case that changes something: what is to be there before, and what is asked.
USE_CASES: dict[str, tuple[Callable[[Consignment, int], None], Any]] = {
    "set_policy": (
        nothing,
        lambda desk, i: desk.admission.set_policy(builders.a_policy(f"2027-{i}")),
    ),
    "request": (
        nothing,
        lambda desk, i: desk.admission.request(
            builders.an_admission_request(f"ADM-f{i}", f"farm-{i}")
        ),
    ),
    "assess": (
        unassessed,
        lambda desk, i: desk.admission.assess(
            f"ADM-f{i}", builders.assessments(), actor="officer:li"
        ),
    ),
    "suspend": (
        admitted,
        lambda desk, i: desk.admission.suspend(f"farm-{i}", why="检查", actor="officer:li"),
    ),
    "import": (
        nothing,
        lambda desk, i: desk.catalogue.import_products(
            FARM, [row("TEA", f"{i}.50"), row(f"N-{i}"), row(f"M-{i}")]
        ),
    ),
    "add_sales_partner": (
        nothing,
        lambda desk, i: desk.sales_partners.add(builders.a_sales_partner(f"sp-{i}")),
    ),
    "add_rule": (nothing, lambda desk, i: desk.settlement.add_rule(builders.a_rule(version=i + 2))),
    "set_quotas": (
        nothing,
        lambda desk, i: desk.quotas.set(
            [builders.a_quota(each, f"{10**8 + i}.00") for each in ("total", f"partner:{FARM}")]
        ),
    ),
    "place": (
        nothing,
        lambda desk, i: desk.dispatch.place(
            builders.a_demand(f"E-{i}", ("APPLE", "1"), ("TEA", "2"))
        ),
    ),
    "cancel": (placed, lambda desk, i: desk.dispatch.cancel(f"E-{i}:{FARM}", why="甲")),
    "report": (
        nothing,
        lambda desk, i: desk.reporting.take_many(
            FARM,
            [
                builders.sold("D-1:green-farm", ("APPLE", "2", "9.00"), report_id=f"S-{i}"),
                builders.returned("D-1:green-farm", ("APPLE", "1", "9.00"), report_id=f"R-{i}"),
            ],
        ),
    ),
    "settle": (sold_out, lambda desk, i: desk.settlement.settle(f"E-{i}:{FARM}")),
}


@pytest.mark.parametrize("use_case", USE_CASES)
def test_a_line_that_breaks_at_any_point(banks: Banks, use_case: str) -> None:
    """Whatever the line breaks at, before or after the server has it, the answer is right.

    The last of these points is the COMMIT: it stands then, and nobody was told.
    """
    prepare, ask = USE_CASES[use_case]
    i = 0
    for how in Break:
        point = 0
        while True:
            point, i = point + 1, i + 1
            banks.all(lambda desk, i=i: prepare(desk, i))  # type: ignore[misc] # bound now
            wanted = ask(banks.memory, i)
            # There is a connection, so that only the use case is heard.
            banks.broken.quotas.show()
            banks.proxy.cut(how, nth=point)
            assert ask(banks.broken, i) == wanted, (how, point)
            if not banks.proxy.mend():
                break
        assert point > 3
    banks.expect_one_truth()


@pytest.mark.parametrize("use_case", USE_CASES)
def test_a_commit_that_nobody_acknowledged(banks: Banks, use_case: str) -> None:
    """The answer to COMMIT is lost, and the server is away for a moment then."""
    prepare, ask = USE_CASES[use_case]
    for i, how in enumerate(Break):
        banks.all(lambda desk, i=i: prepare(desk, i))  # type: ignore[misc] # bound now
        wanted = ask(banks.memory, i)
        banks.broken.quotas.show()
        # Readers commit too; so the next COMMIT of all is the one of the use case.
        banks.proxy.cut(how, at=COMMIT, then_refuse=3)
        broken = banks.proxy.broken
        assert ask(banks.broken, i) == wanted, how
        assert banks.proxy.broken == broken + 1
        # The same command again finds what stands.
        if use_case != "suspend":
            assert ask(banks.broken, i) == ask(banks.memory, i)
    banks.expect_one_truth()


def test_connections_that_the_server_kills_meanwhile(banks: Banks) -> None:
    """Between two statements, and in the midst of one that waits for a lock."""
    tries: list[int] = []

    def between(session: Session) -> str:
        tries.append(banks.kill() if not tries else 0)
        return str(session.rows(PRODUCT, "APPLE", lock=Lock.CHANGE)[0][0])

    storage = banks.broken.storage
    assert isinstance(storage, SqlStorage)
    assert storage.write_session(between) == "APPLE"
    assert tries[0] >= 1
    assert len(tries) == 2

    report = builders.sold(report_id="S-1")
    wanted = banks.memory.reporting.take(FARM, report)
    with ThreadPoolExecutor(1) as others, _held(banks, "APPLE"):
        asked = others.submit(banks.broken.reporting.take, FARM, report)
        until = monotonic() + 20
        while not banks.kill(_WAITING[banks.engine]):
            assert monotonic() < until, "nobody waits for the lock"
            # MariaDB's list is made anew when nobody has read it for a tenth of a second.
            sleep(0.2)
    assert asked.result(20) == wanted
    banks.expect_one_truth()


@contextmanager
def _held(banks: Banks, number: str) -> Iterator[None]:
    """Hold the row of a product in another transaction meanwhile."""
    driver = engines.admin(banks.engine).url.set(database=make_url(banks.url).database)
    engine = create_engine(driver, poolclass=NullPool, isolation_level="READ COMMITTED")
    holding = "SELECT number FROM products WHERE partner_id = :farm AND number = :number FOR UPDATE"
    with engine.begin() as connection:
        assert connection.scalar(text(holding), {"farm": FARM, "number": number}) == number
        yield


def test_a_pool_of_connections_that_are_all_dead(banks: Banks) -> None:
    """After the server was started again the next calls are answered, by all threads."""
    meeting = threading.Barrier(6)

    def ask(_: int) -> object:
        return banks.broken.storage.read(lambda tx: (meeting.wait(20), tx.quotas.list())[1])

    def place(i: int) -> object:
        return banks.broken.dispatch.place(builders.a_demand(f"E-{i}", ("APPLE", "1")))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(ask, range(6)))
        assert banks.kill() >= 6
        orders = list(threads.map(place, range(6)))
        list(threads.map(ask, range(6)))
        assert banks.kill() >= 6
    assert banks.broken.progress.by_number("APPLE").ordered.count == 100_006
    for i, order in enumerate(orders):
        assert order == banks.memory.dispatch.place(builders.a_demand(f"E-{i}", ("APPLE", "1")))


#: Statements that end in what the engine says of a conflict.
_CONFLICTS = {
    "postgresql": [
        "DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '40001'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '40P01'; END $$",
    ],
    "mariadb": [
        "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'on purpose'",
        "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020, MESSAGE_TEXT = 'on purpose'",
    ],
}


def test_conflicts_are_tried_again(banks: Banks) -> None:
    """A serialization failure and a deadlock are tried again, nine times at most, and then told."""
    storage = banks.direct.storage
    assert isinstance(storage, SqlStorage)
    tries: Counter[str] = Counter()

    def work(session: Session, words: str, often: int) -> str:
        tries[words] += 1
        if tries[words] <= often:
            session.run(Statement(text(words)), [()])
        return "done"

    first, second = _CONFLICTS[banks.engine]
    assert storage.write_session(lambda session: work(session, first, 7)) == "done"
    with pytest.raises(StorageBusy) as busy:
        storage.write_session(lambda session: work(session, second, 99))
    assert busy.value.retryable
    assert tries[first] == 8
    assert 8 <= tries[second] <= 10


def test_a_deadlock_is_tried_again(banks: Banks) -> None:
    """Two transactions that lock two rows the wrong way round: both are done in the end."""
    meeting = threading.Barrier(2)
    tries: Counter[str] = Counter()
    storage = banks.direct.storage
    assert isinstance(storage, SqlStorage)

    def work(session: Session, first: str, second: str) -> str:
        tries[first] += 1
        session.rows(PRODUCT, first, lock=Lock.CHANGE)
        if tries[first] == 1:
            meeting.wait(20)
        return str(session.rows(PRODUCT, second, lock=Lock.CHANGE)[0][0])

    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(storage.write_session, lambda each: work(each, "APPLE", "TEA"))
        other = threads.submit(storage.write_session, lambda each: work(each, "TEA", "APPLE"))
        assert (one.result(30), other.result(30)) == ("TEA", "APPLE")
    assert sorted(tries.values()) == [1, 2]


def _told(ask: Callable[[], object]) -> tuple[StorageError, float]:
    started = monotonic()
    with pytest.raises(StorageError) as told:
        ask()
    return told.value, monotonic() - started


def test_a_lock_that_is_held_too_long(banks: Banks) -> None:
    """Who waits too long for another's lock is told so, and may try again."""
    with desk_at(banks.url, busy_timeout_s=1.0) as desk:
        report = builders.sold(report_id="S-1")
        with _held(banks, "APPLE"):
            error, took_s = _told(lambda: desk.reporting.take(FARM, report))
        assert isinstance(error, StorageBusy)
        assert error.retryable
        assert 0.9 < took_s < 8
        assert desk.reporting.take(FARM, report) == banks.memory.reporting.take(FARM, report)
    banks.expect_one_truth()


@pytest.mark.parametrize("away", ["refuse", "mute"])
def test_a_server_that_stays_away(banks: Banks, away: str) -> None:
    """It refuses, or accepts and says nothing: told in time, as something to be tried again."""
    demand = builders.a_demand("E-1", ("APPLE", "1"))
    seconds = {"connect_timeout": "2"}
    if banks.engine == "mariadb":
        # Its driver waits so long for the server's first words too.
        seconds["read_timeout"] = "3"
    address = through(banks.proxy, banks.url, **seconds)
    with desk_at(address, busy_timeout_s=1.0) as desk:
        desk.quotas.show()
        getattr(banks.proxy, away)()
        for ask in (lambda: desk.dispatch.place(demand), desk.quotas.show):
            error, took_s = _told(ask)
            assert isinstance(error, StorageUnreachable)
            assert error.retryable
            assert took_s < 8
        error, took_s = _told(lambda: desk_at(address, busy_timeout_s=1.0))
        assert isinstance(error, StorageUnreachable)
        assert took_s < 8
        banks.proxy.restore()
        assert desk.dispatch.place(demand) == banks.memory.dispatch.place(demand)
    banks.expect_one_truth()


def test_a_server_that_comes_back_in_time(banks: Banks) -> None:
    """A call that is made while the server is away is answered when it comes back."""
    banks.broken.quotas.show()
    banks.proxy.refuse()
    back = threading.Timer(1.0, banks.proxy.restore)
    back.start()
    demand = builders.a_demand("E-1", ("APPLE", "1"))
    assert banks.broken.dispatch.place(demand) == banks.memory.dispatch.place(demand)
    back.join()
    banks.expect_one_truth()
