"""What the processes do that load a cluster: here, so that each can import it.

A lane of demands is submitted by two processes, command by command. Each tells, in plain values,
what was acknowledged to it, with the instants that the desk gave: what was lost and done again
has another instant than what was acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from time import monotonic, monotonic_ns, sleep
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import field, frozen

from consignment.adapters.memory import MemoryMessaging
from consignment.adapters.sqlalchemy import Ledger, SqlStorage
from consignment.adapters.sqlalchemy.engines import GaleraDatabase
from consignment.desk import Consignment
from consignment.domain.errors import StorageBusy, StorageError
from consignment.domain.settings import BackOff, Settings
from consignment.domain.settlement import CreditState
from consignment.testing import builders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from multiprocessing.connection import Connection
    from multiprocessing.sharedctypes import Synchronized

    from sqlalchemy.pool import PoolProxiedConnection

    from consignment.adapters.sqlalchemy.statements import Session
    from consignment.domain.order import ConsignmentDemand
    from consignment.domain.report import PartnerReport

__all__ = ["Ack", "Case", "Task", "Told", "partner", "product", "relay", "submit"]

T = TypeVar("T")

#: What was acknowledged: its kind, its id, and what the desk answered.
Ack = tuple[str, str, tuple[Any, ...]]

#: A command that is refused for so long has failed.
_TIMEOUT_S = 90.0
SETTINGS = Settings(
    # What a relay that was cut off had claimed is taken up again soon.
    lease=timedelta(seconds=4),
    back_off=BackOff(timedelta(seconds=1), timedelta(seconds=1), 1000),
)


@frozen
class Case:
    """One demand: its id, the partners whose goods it asks for, and how much of them."""

    demand_id: str
    partners: tuple[int, ...]
    quantity: int


@frozen
class Task:
    """What a process is to submit: cases, in this order."""

    cases: Sequence[Case]


@frozen
class Told:
    """What a process was acknowledged, and what it went through meanwhile.

    `counts` has `commands`, `runs` (transactions begun), `aborts` (given up by the engine),
    `lost` (connections), `found` (commits that stood although nobody said so) and `refused` (a
    retryable error came through to the caller, who submitted the same again).
    """

    acks: list[Ack] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)


def partner(number: int) -> str:
    """Give a partner's id."""
    return f"partner-{number}"


def product(number: int) -> str:
    """Give the number of the only product of a partner."""
    return f"P-{number}"


class _Nodes(GaleraDatabase):
    """The cluster's nodes, counting."""

    counts: Counter[str]

    def told(self, error: Exception) -> StorageError:
        told = super().told(error)
        self.counts["aborts"] += isinstance(told, StorageBusy)
        return told

    def lost(self, connection: PoolProxiedConnection, why: StorageError) -> None:
        self.counts["lost"] += 1
        super().lost(connection, why)


class _Store(SqlStorage):
    """The store, counting."""

    counts: Counter[str]

    def _run(
        self,
        work: Callable[[Session], T],
        partner_id: str | None,
        *,
        writing: bool,
        transaction: bool = True,
    ) -> T:
        self.counts["runs"] += 1
        return super()._run(work, partner_id, writing=writing, transaction=transaction)

    def _stands(self, entry_id: str, partner_id: str | None) -> bool:
        stands = super()._stands(entry_id, partner_id)
        self.counts["found"] += stands
        return stands


class _Clock:
    """A clock that begins at an instant and goes on as real time does, alike in all processes."""

    def __init__(self, began_ns: int) -> None:
        self._began_ns = began_ns

    def now(self) -> datetime:
        return builders.NOW + timedelta(microseconds=(monotonic_ns() - self._began_ns) // 1000)


def _open(urls: Sequence[str], began_ns: int, counts: Counter[str]) -> Consignment:
    nodes = _Nodes(urls, busy_timeout_s=5.0)
    nodes.counts = counts
    storage = _Store(nodes, patience_s=nodes.comes_back_s)
    storage.counts = counts
    return Consignment(
        storage=storage,
        messaging=MemoryMessaging(),
        crediting=Ledger(storage),
        clock=_Clock(began_ns),
        settings=SETTINGS,
    )


def submit(
    urls: Sequence[str], began_ns: int, pipe: Connection, acknowledged: Synchronized[int]
) -> None:
    """Submit one task after the other, and answer each with a `Told`; None is the end.

    The first `Told` says that the process is ready.
    """
    counts: Counter[str] = Counter()
    with _open(urls, began_ns, counts) as desk:
        pipe.send(Told())
        while (task := pipe.recv()) is not None:
            counts.clear()
            acks: list[Ack] = []
            for command in (each for case in task.cases for each in _commands(desk, case)):
                acks.append(_patiently(command, counts))
                with acknowledged.get_lock():
                    acknowledged.value += 1
            counts["commands"] = len(acks)
            pipe.send(Told(acks, counts.copy()))


def relay(urls: Sequence[str], began_ns: int, pipe: Connection) -> None:
    """Carry out credits until something comes, and answer it with the counts; None is the end.

    The first `Told` says that the process is ready.
    """
    counts: Counter[str] = Counter()
    with _open(urls, began_ns, counts) as desk:
        pipe.send(Told())
        while True:
            counts.clear()
            while not pipe.poll(0.05):
                counts["credits"] += _patiently(lambda: desk.relay.credit_due().done, counts)
            last = pipe.recv() is None
            pipe.send(Told([], counts.copy()))
            if last:
                return


def _patiently(command: Callable[[], T], counts: Counter[str]) -> T:
    """Submit a command again and again, as a host would whose customer waits."""
    until = monotonic() + _TIMEOUT_S
    while True:
        try:
            return command()
        except StorageError as error:
            if not error.retryable or monotonic() > until:
                raise
            counts["refused"] += 1
            sleep(0.1)


def _commands(desk: Consignment, case: Case) -> Iterator[Callable[[], Ack]]:
    """Give what is submitted for a demand: the demand, each order's reports, its settlement."""
    quantity = str(case.quantity)
    goods = [(product(each), quantity) for each in case.partners]
    demand = builders.a_demand(case.demand_id, *goods)
    yield partial(_placed, desk, demand)
    for each in case.partners:
        order_id = f"{case.demand_id}:{partner(each)}"
        lines = (product(each), quantity, "49.50"), (product(each), quantity, "68.80")
        for report in (
            builders.accepted(order_id, report_id=f"A-{case.demand_id}"),
            builders.procured(order_id, lines[0], report_id=f"P-{case.demand_id}", final=True),
            builders.sold(order_id, lines[1], report_id=f"S-{case.demand_id}"),
            builders.completed(order_id, report_id=f"C-{case.demand_id}"),
        ):
            yield partial(_reported, desk, partner(each), report)
        yield partial(_settled, desk, order_id)


def _placed(desk: Consignment, demand: ConsignmentDemand) -> Ack:
    orders = desk.dispatch.place(demand)
    return "demand", demand.demand_id, tuple((each.order_id, each.placed_at) for each in orders)


def _reported(desk: Consignment, partner_id: str, report: PartnerReport) -> Ack:
    answer = desk.reporting.take(partner_id, report)
    assert answer.taken, answer.reasons
    record = answer.record
    return "report", f"{partner_id}/{record.report_id}", (record.received_at, answer.repeated)


def _settled(desk: Consignment, order_id: str) -> Ack:
    settlement = desk.settlement.settle(order_id)
    # The same whether they are still to be credited or were.
    kept = {CreditState.KEPT, CreditState.NOTHING}
    due = tuple(
        (share.account, share.payable_minor)
        for share in settlement.shares
        if share.state not in kept
    )
    return "settlement", order_id, (settlement.settled_at, due)
