"""What an editor knows of the public names; mypy reads this, nothing runs it.

A mistake that mypy has to see stands beside an ignore: were it not seen, the ignore would be
unused, and that is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, assert_type

from consignment import (
    AdmissionDecision,
    AdmissionRequest,
    Consignment,
    ConsignmentDemand,
    Money,
    Partner,
    PartnerReport,
    Progress,
    PurchaseOrder,
    Quota,
    Reason,
    Refused,
    SalesPartner,
    Settlement,
    SettlementRule,
    Work,
)
from consignment.adapters.memory import (
    KnownCooperations,
    ManualClock,
    MemoryLedger,
    MemoryMessaging,
    MemoryStorage,
)
from consignment.catalogue import ImportResult
from consignment.domain.journal import Fact
from consignment.domain.message import CreditInstruction, OutboxEntry
from consignment.domain.progress import NamePage
from consignment.ports.account_crediting import AccountCrediting, CreditOutcome
from consignment.relay import Relayed
from consignment.reporting import ReportAnswer

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


class OurLedger:
    """A host's own crediting: it need not inherit anything."""

    def credit(self, instructions: Sequence[CreditInstruction]) -> list[CreditOutcome]:
        """Credit nothing."""
        return [CreditOutcome("not yet")] * len(instructions)


def open_desks(path: Path, clock: ManualClock) -> None:
    """Each way to make a desk gives one, and a desk is its own context."""
    with Consignment.open("sqlite:///bank.db", mailbox=path, clock=clock) as opened:
        assert_type(opened, Consignment)
    assert_type(Consignment.in_memory(history=KnownCooperations()), Consignment)
    Consignment(storage=MemoryStorage(), messaging=MemoryMessaging(), crediting=MemoryLedger())
    Consignment(storage=MemoryStorage(), messaging=MemoryMessaging(), crediting=OurLedger())
    crediting: AccountCrediting = OurLedger()
    Consignment(storage=MemoryStorage(), messaging=MemoryMessaging())  # type: ignore[call-arg]
    Consignment(
        storage=MemoryLedger(),  # type: ignore[arg-type]
        messaging=MemoryMessaging(),
        crediting=crediting,
    )


def admit(
    desk: Consignment, request: AdmissionRequest, sales_partner: SalesPartner, new: SettlementRule
) -> None:
    """What has to be there first says what it gives."""
    assert_type(desk.admission.request(request), AdmissionDecision)
    assert_type(desk.admission.suspend("a", why="b", actor="c"), Partner)
    desk.admission.suspend("a", "b", "c")  # type: ignore[call-arg]
    imported = desk.catalogue.import_products("a", [{"number": "A"}])
    assert_type(imported, ImportResult)
    assert_type(imported.products[0], tuple[str, str])
    assert_type(imported.products[:2], list[tuple[str, str]])
    assert_type(desk.sales_partners.add(sales_partner), SalesPartner)
    assert_type(desk.settlement.add_rule(new), SettlementRule)
    assert_type(desk.quotas.show(), Sequence[Quota])


def sell(desk: Consignment, demand: ConsignmentDemand, report: PartnerReport) -> None:
    """Every use case of the daily business says what it gives."""
    assert_type(desk.dispatch.place(demand), tuple[PurchaseOrder, ...])
    (answer,) = desk.dispatch.place_many([demand])
    assert_type(answer, tuple[PurchaseOrder, ...] | Refused)
    assert_type(desk.dispatch.cancel("a", why="b"), PurchaseOrder)
    assert_type(desk.reporting.take("a", report), ReportAnswer)
    assert_type(desk.progress.by_number("a"), Progress)
    assert_type(desk.progress.by_name("a"), NamePage)
    assert_type(desk.settlement.settle("a"), Settlement)
    assert_type(desk.settlement.of_order("a"), tuple[Settlement, ...])
    assert_type(desk.relay.deliver_due(), Relayed)
    assert_type(desk.relay.set_aside(), Sequence[OutboxEntry])
    assert_type(desk.audit.facts(), Iterator[Fact])
    assert_type(desk.work(), Work)


def values(order: PurchaseOrder, refused: Refused, at: datetime) -> None:
    """Money is no float, and reasons are there to be read."""
    assert_type(order.agreed_value, Money)
    assert_type(order.agreed_value + Money(1, "CNY"), Money)
    Money(1, "CNY") + 1  # type: ignore[operator]
    Money.of(1.5, "CNY")  # type: ignore[arg-type]
    order.state = at  # type: ignore[misc, assignment]
    assert_type(refused.reasons, tuple[Reason, ...])
    assert_type(refused.codes, tuple[str, ...])
