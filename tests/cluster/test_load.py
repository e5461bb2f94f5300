"""A Galera cluster under load, while its nodes are killed, paused and started again.

Every command is submitted twice, from two processes. Afterwards nothing that was acknowledged is
lost, nothing is doubled, and all nodes hold the same. `make cluster` runs this.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from contextlib import closing
from functools import partial as bound
from multiprocessing import get_context
from threading import Timer
from time import monotonic, monotonic_ns, sleep
from typing import TYPE_CHECKING, Any

import pytest

from consignment.adapters.sqlalchemy import Ledger
from consignment.domain.order import OrderState
from consignment.testing import builders
from tests.cluster.load import Case, Task, Told, partner, product, relay, submit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from consignment.desk import Consignment
    from tests.cluster.conftest import Bank
    from tests.cluster.nodes import Cluster

pytestmark = pytest.mark.timeout(360)

PARTNERS = 12
DEMANDS = 96
#: Commands for each order of a demand, and for the demand itself.
EACH_ORDER, EACH_DEMAND = 5, 1
PHASE_TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def load(cluster: Cluster, bank: Bank) -> Iterator[Load]:
    """Start the processes that submit and relay; they keep what they know from phase to phase."""
    _furnish(bank.desk)
    load = Load(cluster, bank)
    try:
        yield load
    finally:
        load.end()


class Load:
    """Four processes that submit, two for each lane of demands, and two relays."""

    def __init__(self, cluster: Cluster, bank: Bank) -> None:
        self.cluster = cluster
        self.bank = bank
        self.cases: list[Case] = []
        self.told: list[Told] = []
        context = get_context("spawn")
        self._acknowledged = context.Value("q", 0)
        self._wanted = 0
        self._processes: list[BaseProcess] = []
        began = monotonic_ns()
        self._submitters: list[Connection] = []
        self._relays: list[Connection] = []
        plan: list[tuple[Callable[..., None], list[Connection], tuple[Any, ...]]] = [
            *[(submit, self._submitters, (self._acknowledged,))] * 4,
            *[(relay, self._relays, ())] * 2,
        ]
        for target, pipes, more in plan:
            pipe, end = context.Pipe()
            arguments = (bank.urls, began, end, *more)
            process = context.Process(target=target, args=arguments, daemon=True)
            process.start()
            end.close()
            pipes.append(pipe)
            self._processes.append(process)
        for pipe in (*self._submitters, *self._relays):
            self._answer(pipe)

    @property
    def acknowledged(self) -> int:
        """Give how many commands have been acknowledged so far."""
        return int(self._acknowledged.value)

    def wait_for(self, count: int) -> None:
        """Wait until so many more commands are acknowledged, or all of them."""
        wanted = min(self.acknowledged + count, self._wanted)
        until = monotonic() + PHASE_TIMEOUT_S
        while self.acknowledged < wanted:
            assert monotonic() < until, "the load does not go on"
            assert all(process.is_alive() for process in self._processes)
            sleep(0.01)

    def run(self, name: str, fault: Callable[[int], None] | None = None) -> None:
        """Submit demands and all that follows from them, each command twice, and wait for the end.

        `fault` is called when a fifth is done; with how many commands a fifth is.
        """
        first = len(self.cases)
        cases = [_case(first + i) for i in range(DEMANDS)]
        self.cases += cases
        commands = 2 * sum(EACH_DEMAND + EACH_ORDER * len(case.partners) for case in cases)
        self._wanted += commands
        lanes = cases[::2], cases[1::2]
        half = len(lanes[1]) // 2
        began = monotonic()
        # The twins of one lane come to each demand at once, those of the other far apart.
        for pipe, part in zip(
            self._submitters,
            (lanes[0], lanes[0], lanes[1], lanes[1][half:] + lanes[1][:half]),
            strict=True,
        ):
            pipe.send(Task(part))
        stalls = _Stalls(self)
        if fault is not None:
            self.wait_for(commands // 5)
            fault(commands // 5)
        told = [self._answer(pipe) for pipe in self._submitters]
        took_s, longest_s = monotonic() - began, stalls.longest_s()
        self.told += told
        self.cluster.wait_synced()
        self._wait_credited()
        for pipe in self._relays:
            pipe.send("how far")
        counts = sum((each.counts for each in told), Counter[str]())
        for pipe in self._relays:
            counts += self._answer(pipe).counts
        assert counts["commands"] == commands
        _say(
            f"{name}: {commands} commands acknowledged ({commands / took_s:.0f}/s), "
            f"{counts['credits']} credits, "
            f"{counts['runs']} transactions, {counts['aborts']} aborts, "
            f"{counts['lost']} connections lost, {counts['found']} commits found again, "
            f"{counts['refused']} submitted again; "
            f"longest pause {longest_s:.1f} s of {took_s:.1f} s"
        )

    def _answer(self, pipe: Connection) -> Told:
        assert pipe.poll(PHASE_TIMEOUT_S), "a process does not answer"
        told = pipe.recv()
        assert isinstance(told, Told)
        return told

    def _wait_credited(self) -> None:
        until = monotonic() + PHASE_TIMEOUT_S
        open_credits = "SELECT COUNT(*) FROM outbox WHERE kind = 'credit' AND state <> 'done'"
        while self.bank.rows(0, open_credits) != [(0,)]:
            assert monotonic() < until, "credits are not carried out"
            sleep(0.1)

    def end(self) -> None:
        """End the processes."""
        for pipe in (*self._submitters, *self._relays):
            try:
                pipe.send(None)
            except OSError:
                continue
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()


class _Stalls:
    """Watches how long nothing is acknowledged at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._seen, self._since, self._longest_s = load.acknowledged, monotonic(), 0.0
        self._watch()

    def _watch(self) -> None:
        now, seen = monotonic(), self._load.acknowledged
        if seen != self._seen:
            self._seen, self._since = seen, now
        self._longest_s = max(self._longest_s, now - self._since)
        self._timer = Timer(0.05, self._watch)
        self._timer.daemon = True
        self._timer.start()

    def longest_s(self) -> float:
        """Stop watching, and give the longest time."""
        self._timer.cancel()
        return self._longest_s


def _case(n: int) -> Case:
    """Give the n-th demand: every eighth asks two partners."""
    partners = {n % PARTNERS} | ({(n + 1) % PARTNERS} if n % 8 == 0 else set())
    return Case(f"D-{n}", tuple(sorted(partners)), 1 + n % 9)


def _say(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


def _furnish(desk: Consignment) -> None:
    """Admit partners with a product each."""
    desk.admission.set_policy(builders.a_policy())
    desk.settlement.add_rule(builders.a_rule())
    desk.sales_partners.add(builders.a_sales_partner())
    for i in range(PARTNERS):
        desk.admission.request(builders.an_admission_request(f"ADM-{i}", partner(i)))
        row = {"number": product(i), "name": f"苹果 {i}", "unit": "BX", "currency": "CNY"}
        desk.catalogue.import_products(partner(i), [{**row, "agreed_price": "68.80"}])
    desk.quotas.set([builders.a_quota("total", "99999999.00")])


def check(load: Load) -> None:
    """Assert that what was acknowledged is there once, and the same on every node."""
    bank, nodes = load.bank, load.cluster.nodes
    tables = sorted(row[0] for row in bank.rows(0, "SHOW TABLES"))
    sums = [
        bank.rows(node.number, f"CHECKSUM TABLE {', '.join(tables)} EXTENDED") for node in nodes
    ]
    for of_node in sums[1:]:
        assert of_node == sums[0]
    _check_acknowledged(load)
    _check_money(load)


def _check_acknowledged(load: Load) -> None:
    """What was acknowledged is there with the instants that it was acknowledged with."""
    rows = bound(load.bank.rows, 0)
    placed = dict(rows("SELECT order_id, placed_at FROM orders"))
    taken = {
        f"{partner_id}/{report_id}": at
        for partner_id, report_id, at in rows(
            "SELECT partner_id, report_id, received_at FROM reports WHERE outcome = 'taken'"
        )
    }
    settled = dict(rows("SELECT order_id, settled_at FROM settlements"))
    orders = {f"{case.demand_id}:{partner(i)}" for case in load.cases for i in case.partners}
    assert placed.keys() == orders
    assert settled.keys() == orders
    assert len(taken) == 4 * len(orders)
    assert rows("SELECT COUNT(*) FROM reports") == [(len(taken),)]
    firsts: Counter[str] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    for kind, id_, answer in (ack for told in load.told for ack in told.acks):
        seen[kind, id_] += 1
        if kind == "demand":
            for order_id, at in answer:
                assert placed[order_id] == _micros(at), f"{order_id} is not what was acknowledged"
        elif kind == "report":
            at, repeated = answer
            assert taken[id_] == _micros(at), f"{id_} is not what was acknowledged"
            firsts[id_] += not repeated
        else:
            assert settled[id_] == _micros(answer[0]), f"{id_} is not what was acknowledged"
    assert set(seen.values()) == {2}
    assert max(firsts.values()) == 1, "a report was told twice to be the first"


def _micros(instant: datetime) -> int:
    return round(instant.timestamp() * 1_000_000)


def _check_money(load: Load) -> None:
    """Ledgers, read on each node alone, hold what the acknowledged settlements sum up to."""
    shares: dict[str, tuple[tuple[str, int], ...]] = {}
    for kind, order_id, answer in (ack for told in load.told for ack in told.acks):
        if kind == "settlement":
            assert shares.setdefault(order_id, answer[1]) == answer[1]
    balances: defaultdict[str, int] = defaultdict(int)
    for order_id, due in shares.items():
        for account, minor in due:
            balances[account] += minor
            balances[f"partner:{order_id.partition(':')[2]}"] -= minor
    for node in load.cluster.nodes:
        with closing(Ledger.open(node.url(load.bank.database))) as ledger:
            assert ledger.check() == []
            assert {account: ledger.balance(account)[0].minor for account in balances} == dict(
                balances
            )
    rows = bound(load.bank.rows, 0)
    credits_due = sum(len(due) for due in shares.values())
    assert rows("SELECT COUNT(*) FROM ledger_entries") == [(credits_due,)]
    assert rows("SELECT COUNT(*) FROM ledger_postings") == [(2 * credits_due,)]
    # Two relays on two nodes carry out the two credits of an order: one of them closes it.
    states = rows("SELECT DISTINCT state FROM orders")
    assert states == [(OrderState.CLOSED.value,)]


def test_load_without_faults(load: Load) -> None:
    """Every command submitted twice has one effect, and all nodes hold it."""
    load.run("no fault")
    check(load)


def test_a_node_is_killed(load: Load) -> None:
    """The others go on, and it catches up when it is started again."""
    node = load.cluster.nodes[2]

    def fault(fifth: int) -> None:
        node.kill()
        load.wait_for(2 * fifth)
        node.start()
        node.wait_synced()

    load.run("one node killed", fault)
    check(load)


def test_two_nodes_are_killed(load: Load) -> None:
    """The third, which cannot know that it is the only one, waits until they are back."""
    cluster = load.cluster

    def fault(fifth: int) -> None:
        cluster.nodes[0].kill()
        cluster.nodes[1].kill()
        until = monotonic() + PHASE_TIMEOUT_S
        while cluster.nodes[2].status("cluster_status") != "non-Primary":
            assert monotonic() < until, "a node alone goes on"
            sleep(0.1)
        before = load.acknowledged
        sleep(1)
        assert load.acknowledged == before
        for node in cluster.nodes[:2]:
            node.start()
        load.wait_for(fifth)

    load.run("two nodes killed", fault)
    check(load)


def test_a_node_is_paused(load: Load) -> None:
    """The others go on without it; it finds out that it was left behind, and catches up."""
    node = load.cluster.nodes[1]

    def fault(fifth: int) -> None:
        node.pause()
        sleep(4)
        load.wait_for(fifth)
        node.resume()
        load.wait_for(fifth)

    load.run("a node paused", fault)
    check(load)


def test_all_nodes_are_killed(load: Load) -> None:
    """Started again from the node that had come furthest, they know all that was acknowledged."""

    def fault(fifth: int) -> None:
        for node in load.cluster.nodes:
            node.kill()
        load.cluster.restart()
        load.wait_for(fifth)

    load.run("all nodes killed", fault)
    check(load)
