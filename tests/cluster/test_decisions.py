"""Decisions on two nodes at once: no lock on one holds on the other. `make cluster` runs them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from threading import Barrier, Thread, Timer
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve

from consignment.adapters.sqlalchemy import SqlStorage, upgrade
from consignment.domain.order import order_id_of
from consignment.domain.partner import PartnerStatus
from consignment.domain.settlement import CreditState
from consignment.testing import builders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from consignment.ports.storage import Transaction
    from tests.cluster.conftest import Bank
    from tests.cluster.nodes import Cluster

T = TypeVar("T")

#: With locks alone, three of four of these went wrong.
TIMES = 40


@contextmanager
def each_on_its_node(bank: Bank) -> Iterator[tuple[SqlStorage, SqlStorage]]:
    """Open the store on the first node alone, and on the second alone."""
    with (
        closing(SqlStorage.open(bank.urls[:1])) as first,
        closing(SqlStorage.open(bank.urls[1:2])) as second,
    ):
        yield first, second


def at_once(
    bank: Bank, one: Callable[[Transaction, int], T], other: Callable[[Transaction, int], T]
) -> list[tuple[T, T]]:
    """Do one on the first node and the other on the second, each time at the same moment."""
    start = Barrier(2)
    told: tuple[list[T], list[T]] = ([], [])

    def repeat(store: SqlStorage, work: Callable[[Transaction, int], T], answers: list[T]) -> None:
        for i in range(TIMES):
            start.wait(timeout=30)
            answers.append(store.write(lambda tx, i=i: work(tx, i)))  # type: ignore[misc] # bound now

    with each_on_its_node(bank) as stores:
        threads = [
            Thread(target=repeat, args=arguments)
            for arguments in zip(stores, (one, other), told, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return list(zip(*told, strict=True))


def test_no_order_is_placed_past_a_suspension(bank: Bank) -> None:
    """An order beside its partner's suspension comes before it, or does not come."""
    ids = [f"suspended-{i}" for i in range(TIMES)]

    def admit(tx: Transaction) -> None:
        for partner_id in ids:
            tx.partners.add(builders.a_partner(partner_id))

    def place(tx: Transaction, i: int) -> bool:
        if tx.partners.get([ids[i]])[ids[i]].status is not PartnerStatus.ADMITTED:
            return False
        tx.orders.add([builders.an_order("D-1", ids[i])])
        return True

    def suspend(tx: Transaction, i: int) -> bool:
        partner = tx.partners.get([ids[i]], to_change=True)[ids[i]]
        seen = tx.orders.get([order_id_of("D-1", ids[i])])
        tx.partners.save(evolve(partner, status=PartnerStatus.SUSPENDED))
        return bool(seen)

    bank.desk.storage.write(admit)
    answers = at_once(bank, place, suspend)
    assert [seen for _, seen in answers] == [placed for placed, _ in answers]


def test_the_last_two_credits_close_the_order(bank: Bank) -> None:
    """Of two who note the last two credits of an order, one sees that it was the last."""
    ids = [f"closed-{i}" for i in range(TIMES)]

    def settle(tx: Transaction) -> None:
        for partner_id in ids:
            tx.partners.add(builders.a_partner(partner_id))
            tx.orders.add([builders.an_order("D-1", partner_id)])
            tx.settlements.add([builders.a_settlement(order_id_of("D-1", partner_id))])

    def note(beneficiary: str) -> Callable[[Transaction, int], bool]:
        def work(tx: Transaction, i: int) -> bool:
            order_id = order_id_of("D-1", ids[i])
            tx.orders.lock([order_id])
            (settlement,) = tx.settlements.of_orders([order_id])[order_id]
            tx.settlements.mark([(settlement, beneficiary, CreditState.CREDITED)])
            return not any(
                share.state is CreditState.DUE and share.beneficiary != beneficiary
                for share in settlement.shares
            )

        return work

    bank.desk.storage.write(settle)
    answers = at_once(bank, note("sales_partner"), note("bank"))
    assert [sorted(pair) for pair in answers] == [[False, True]] * TIMES


def test_a_read_waits_for_what_another_node_acknowledged(bank: Bank) -> None:
    """A node that has not caught up answers when it has: to readers and to writers."""
    behind = bank.cluster.nodes[1]
    for i in range(2):
        name = f"sp-{i}"
        with each_on_its_node(bank) as (store, late), closing(behind.connect()) as holding:
            late.read(lambda tx: tx.sales_partners.get([]))
            # As long as this is held, nothing that others have committed is applied.
            holding.cursor().execute("FLUSH TABLES WITH READ LOCK")
            store.write(lambda tx, name=name: tx.sales_partners.add(builders.a_sales_partner(name)))  # type: ignore[misc] # bound now
            release = Timer(1, holding.cursor().execute, ("UNLOCK TABLES",))
            release.start()

            def work(tx: Transaction, name: str = name) -> list[str]:
                return list(tx.sales_partners.get([name]))

            found = late.write(work) if i else late.read(work)
            release.join()
        assert found == [name]


def test_three_upgrade_at_once(cluster: Cluster) -> None:
    """Each begins at another node; one does it, the others find it done."""
    with closing(cluster.nodes[0].connect()) as connection:
        connection.cursor().execute("CREATE DATABASE upgraded")
    urls = [node.url("upgraded") for node in cluster.nodes]
    start = Barrier(3)
    versions: list[str] = []

    def run(first: int) -> None:
        start.wait(timeout=30)
        versions.append(upgrade([*urls[first:], *urls[:first]]))

    threads = [Thread(target=run, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(versions) == 3
    SqlStorage.open(urls).close()
