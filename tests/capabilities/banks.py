"""A bank in memory to try the capabilities on, and short ways to say what happens there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consignment.adapters.memory import (
    KnownCooperations,
    ManualClock,
    MemoryLedger,
    MemoryMessaging,
    MemoryStorage,
)
from consignment.desk import Consignment
from consignment.domain.message import IntentState, OutboxEntry, Recipient
from consignment.domain.money import Money
from consignment.domain.quota import Quota
from consignment.testing import builders

if TYPE_CHECKING:
    from datetime import datetime

    from consignment.domain.errors import Refused
    from consignment.domain.journal import FactKind
    from consignment.domain.message import Message
    from consignment.domain.order import OrderState, PurchaseOrder
    from consignment.domain.report import PartnerReport
    from consignment.domain.settings import Settings

__all__ = ["FARM", "ORDER", "TO_FARM", "TO_LI", "Bank", "reasons_of", "row"]

FARM = "green-farm"
#: The order that `builders.a_demand` yields.
ORDER = "D-1:green-farm"
TO_FARM = Recipient.partner(FARM)
TO_LI = Recipient.sales_partner("sp-li")


def row(number: str | None = "APPLE", **changes: object) -> dict[str, Any]:
    """Give a row of a product import: boxes of apples at 68.80, always on sale."""
    plain: dict[str, Any] = {
        "number": number,
        "name": f"产品 {number}",
        "unit": "BX",
        "currency": "CNY",
        "agreed_price": "68.80",
    }
    return {**plain, **changes}


def reasons_of(refused: Refused) -> list[dict[str, Any]]:
    """Give the reasons of a refusal as plain mappings."""
    return [each.as_dict() for each in refused.reasons]


class Bank:
    """A desk over memory with everything behind it at hand; it has a policy, and stands at NOW."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        policy: bool = True,
        messaging: MemoryMessaging | None = None,
    ) -> None:
        self.clock = ManualClock(builders.NOW)
        self.storage = MemoryStorage()
        self.messaging = messaging or MemoryMessaging()
        self.ledger = MemoryLedger()
        self.history = KnownCooperations()
        self.desk = Consignment(
            storage=self.storage,
            messaging=self.messaging,
            crediting=self.ledger,
            clock=self.clock,
            history=self.history,
            settings=settings,
        )
        if policy:
            self.desk.admission.set_policy(builders.a_policy())

    # What has to be there before goods can be sold.

    def admit(self, partner_id: str = FARM, *lines: str) -> None:
        """Admit a partner, to retail unless told otherwise."""
        request = builders.an_admission_request(
            f"ADM-{partner_id}", partner_id, lines=lines or ("retail",)
        )
        assert self.desk.admission.request(request).valid_until is not None

    def stock(self, *rows: dict[str, Any], partner_id: str = FARM) -> None:
        """Import products."""
        result = self.desk.catalogue.import_products(partner_id, rows or [row()])
        assert not result.rejected, list(result.rejections)

    def open_shop(self, *rows: dict[str, Any], cron: str | None = None) -> Bank:
        """Admit the farm, import products, add the sales partner and the rule; give the bank."""
        self.admit()
        self.stock(*rows)
        self.desk.sales_partners.add(builders.a_sales_partner(cron=cron))
        self.desk.settlement.add_rule(builders.a_rule())
        return self

    def limit(self, **limits: str) -> None:
        """Set quotas in CNY; `__` in a name stands for the colon of a scope."""
        self.limits({scope.replace("__", ":"): limit for scope, limit in limits.items()})

    def limits(self, limits: dict[str, str]) -> None:
        """Set quotas in CNY, by scope."""
        self.desk.quotas.set(
            [Quota.of(scope, Money.of(limit, "CNY")) for scope, limit in limits.items()]
        )

    # What happens.

    def place(self, demand_id: str = "D-1", *goods: tuple[str, str]) -> PurchaseOrder:
        """Place a demand that yields one order."""
        (order,) = self.desk.dispatch.place(builders.a_demand(demand_id, *goods))
        return order

    def take(self, *reports: PartnerReport, partner_id: str = FARM) -> None:
        """Take reports, all of which are good."""
        for answer in self.desk.reporting.take_many(partner_id, reports):
            assert answer.taken, answer.reasons

    def refuse(self, report: PartnerReport, partner_id: str = FARM) -> list[dict[str, Any]]:
        """Take a report that is refused; give the reasons."""
        answer = self.desk.reporting.take(partner_id, report)
        assert not answer.taken
        return [each.as_dict() for each in answer.reasons]

    def sell_out(self, order_id: str = ORDER, *, price: str = "68.80", cost: str = "49.50") -> None:
        """Let an order of ten boxes of apples run until it is completed."""
        tag = order_id.partition(":")[0]
        goods = "APPLE", "10"
        self.take(
            builders.accepted(order_id, report_id=f"AC-{tag}"),
            builders.procured(order_id, (*goods, cost), report_id=f"PR-{tag}"),
            builders.sold(order_id, (*goods, price), report_id=f"SR-{tag}"),
            builders.completed(order_id, report_id=f"CP-{tag}"),
        )

    # What is so.

    def order(self, order_id: str = ORDER) -> PurchaseOrder:
        """Give an order."""
        return self.desk.dispatch.order(order_id)

    def state(self, order_id: str = ORDER) -> OrderState:
        """Give an order's state."""
        return self.order(order_id).state

    @property
    def used(self) -> dict[str, str]:
        """What is used of each quota, by scope."""
        return {each.scope: str(each.used) for each in self.desk.quotas.show()}

    def kinds(self, order_id: str | None = None) -> list[FactKind]:
        """Give the kinds of the facts, in their order."""
        return [fact.kind for fact in self.desk.audit.facts(order_id=order_id)]

    def entries(self, state: IntentState = IntentState.WAITING) -> list[OutboxEntry]:
        """Give the outbox's entries in a state, by id."""
        return list(self.storage.read(lambda tx: tx.outbox.list(state, limit=100_000)))

    def entry(self, entry_id: str) -> OutboxEntry:
        """Give an entry of the outbox."""
        return self.storage.read(lambda tx: tx.outbox.get([entry_id]))[entry_id]

    def messages(self, recipient: Recipient, kind: str | None = None) -> list[Message]:
        """Give what a recipient has received, perhaps of one type only."""
        return [each for each in self.messaging.inbox(recipient) if kind in {None, each.type}]

    def balance(self, account: str) -> str:
        """Give an account's balance in CNY."""
        total = sum(each.amount.minor for each in self.ledger.postings(account))
        return str(Money(total, "CNY"))

    def later(self, **step: float) -> datetime:
        """Let time pass."""
        return self.clock.advance(**step)
