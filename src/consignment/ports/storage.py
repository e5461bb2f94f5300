"""Storage: one transaction over everything the desk knows.

A use case runs as one function in one transaction: it reads what it needs in few batched calls,
decides, and writes once. Every call takes or gives batches. What is read are the domain's own
frozen values; what is written is visible to later reads of the same transaction.

Ids are those of the domain. `order_id` ends in its partner's id, so every row of a partner can be
found by partner (see `domain.order.partner_id_of`).

What a writing transaction may rely on until it ends, so that what it decides still holds when it
commits; a store keeps this also where others write at the same time:

- What was read stays as it was read: orders and their lines (`orders.get`, `in_state`,
  `of_sales_partner`, `lock`), partners (`partners.get`). Others who want to change them wait.
- What is saved is still what was read, else `StaleWrite`: everything with a revision (partners,
  products, sales partners, orders), intents of the outbox, what reports were pushed.
- What is added to is added to as it is now (`products.tally`, `quotas.change`), with a condition
  that is looked at in the same instant: whether an increase fits its quota, whether a product is
  still counted in the unit and currency of the order.
- What is there once is there once, else `DuplicateKey`: every key, a partner's registration
  number, a product number, the rule of a scope and date.

Anything else may have been changed by others since it was read: a product's price, the rules in
force, the policy. A decision that rests on it is right as of the moment of reading.

A transaction takes rows in this order, and rows of a kind by rising key: orders, then everything
else, then products' tallies, then quotas (bank-wide ones first). So no two wait in a circle, and
the rows that everybody wants are held shortest.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from attrs import frozen

from consignment.domain.name_search import NamePlace
from consignment.domain.product import ConsignedProduct
from consignment.domain.progress import Tally, TallyChange

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import date

    from consignment.domain.admission import AdmissionDecision, AdmissionPolicy
    from consignment.domain.journal import Fact
    from consignment.domain.message import IntentState, OutboxEntry
    from consignment.domain.order import OrderState, PurchaseOrder
    from consignment.domain.partner import Partner
    from consignment.domain.quota import Quota, QuotaKey
    from consignment.domain.report import ReportRecord
    from consignment.domain.rule import SettlementRule
    from consignment.domain.sales_partner import SalesPartner
    from consignment.domain.settlement import CreditState, Settlement

__all__ = [
    "DemandRecord",
    "Journal",
    "NameHit",
    "OrderBook",
    "Outbox",
    "PartnerBook",
    "PolicyBook",
    "ProductBook",
    "QuotaBook",
    "ReportBook",
    "RuleBook",
    "SalesPartnerBook",
    "SettlementBook",
    "Storage",
    "Transaction",
]

T = TypeVar("T")


@frozen
class DemandRecord:
    """A demand that was placed: its content's digest, and the orders that it yielded."""

    demand_id: str
    digest: str
    order_ids: tuple[str, ...]
    placed_at: datetime


@frozen
class NameHit:
    """A product found by name, and where it stands among those that the text finds."""

    place: NamePlace
    product: ConsignedProduct
    tally: Tally


class PolicyBook(Protocol):
    """Admission policies: immutable versions; the one added last is in force."""

    def get(self, version: str | None = None) -> AdmissionPolicy | None:
        """Give a version, or the one in force."""
        ...

    def add(self, policy: AdmissionPolicy, at: datetime) -> None:
        """Add a version and put it in force. `DuplicateKey` when the version is there."""
        ...


class PartnerBook(Protocol):
    """Partners and the decisions on their admission."""

    def get(self, partner_ids: Collection[str], *, to_change: bool = False) -> dict[str, Partner]:
        """Give those that exist, by id.

        In a writing transaction they stay as they are until it ends: any number may hold them so
        at once. With `to_change` only one holds them, and may save them.
        """
        ...

    def registered_as(self, registration_number: str) -> str | None:
        """Give the id of the partner with a registration number (bank-wide unique)."""
        ...

    def list(
        self, *, review_until: date | None = None, after: str = "", limit: int = 1000
    ) -> Sequence[Partner]:
        """Give partners by rising id, after an id.

        With `review_until`, only admitted and suspended ones whose admission ends by that day.
        """
        ...

    def add(self, partner: Partner) -> None:
        """Add a partner. `DuplicateKey` when the id or the registration number is there."""
        ...

    def save(self, partner: Partner) -> None:
        """Store a changed partner; its revision grows. `StaleWrite` when it is not the stored one.

        The registration number does not change.
        """
        ...

    def decisions(self, request_id: str) -> Sequence[AdmissionDecision]:
        """Give the decisions on a request (ids are bank-wide), oldest first."""
        ...

    def add_decision(self, decision: AdmissionDecision) -> None:
        """Keep a decision. `DuplicateKey` when the request has one with that sequence."""
        ...


class ProductBook(Protocol):
    """Consigned products and their tallies."""

    def owners(self, numbers: Collection[str]) -> dict[str, str]:
        """Give the partner id of each product number that exists."""
        ...

    def get(
        self, partner_id: str, numbers: Collection[str]
    ) -> dict[str, tuple[ConsignedProduct, Tally]]:
        """Give a partner's products that exist, with their tallies, by number."""
        ...

    def by_numbers(self, numbers: Collection[str]) -> dict[str, tuple[ConsignedProduct, Tally]]:
        """Give the products of whatever partners that exist, with their tallies, by number."""
        ...

    def claim(self, partner_id: str, numbers: Collection[str]) -> dict[str, str]:
        """Take numbers for products that are going to be added in this transaction.

        Those that others are taking at the same moment are waited for. Give the partner id of each
        that somebody has already: who reads it after that sees the product.
        """
        ...

    def add(self, products: Sequence[ConsignedProduct]) -> None:
        """Add products. `DuplicateKey` when a number is there, with whatever partner.

        Whoever has claimed the numbers before meets nobody.
        """
        ...

    def save(self, products: Sequence[ConsignedProduct]) -> None:
        """Store changed products; their revisions grow, their tallies stay.

        `StaleWrite` when one is not the stored one; and when its unit, unit places or currency
        would change although something of it is ordered by now.
        """
        ...

    def tally(self, changes: Sequence[TallyChange]) -> None:
        """Add to the tallies of products, and to those by whom they are sold for, atomically.

        See `Tally.plus`. `StaleWrite` when a product is not there, or has other unit places or
        another currency than the change is counted in. A tally by scope begins when something is
        ordered: `StaleWrite` too when there is none, and the change orders nothing.
        """
        ...

    def tallies(
        self,
        *,
        partner_id: str | None = None,
        sales_partner_id: str | None = None,
        business_line: str | None = None,
    ) -> dict[tuple[str, str], Tally]:
        """Give what happened to products in the orders that meet every given condition.

        Per (partner id, product number), by rising key; of every product that was ever ordered so.
        It is read from tallies, not from orders, however many there are. An order that was
        rejected, cancelled or expired counts as nothing ordered; the last report is the last one
        on any of the orders.
        """
        ...

    def find(self, text: str, *, after: NamePlace | None = None, limit: int) -> Sequence[NameHit]:
        """Find products whose name, or another form of it, has a text in it.

        The text is in the form of `domain.text.name_key`; the store brings it, as every name, into
        that of its `ports.name_forms`. Other forms are found by texts of less than `PLACE_LENGTH`
        characters. In the order of `NamePlace`; `after` is the place to go on behind, whether
        there still is a product or not.
        """
        ...

    def reindex(self, after: str, limit: int) -> tuple[str | None, int]:
        """Bring the forms of up to `limit` products up to date, by rising number, after a number.

        Give the last number that was looked at, None behind the last product, and of how many
        products the forms changed; their revisions grow.
        """
        ...


class SalesPartnerBook(Protocol):
    """Sales partners."""

    def get(self, sales_partner_ids: Collection[str]) -> dict[str, SalesPartner]:
        """Give those that exist, by id."""
        ...

    def add(self, sales_partner: SalesPartner) -> None:
        """Add one. `DuplicateKey` when the id is there."""
        ...

    def save(self, sales_partner: SalesPartner) -> None:
        """Store a changed one; its revision grows. `StaleWrite` when it is not the stored one."""
        ...

    def push_due(self, now: datetime, limit: int) -> Sequence[SalesPartner]:
        """Give those whose next push is due at `now`, the longest due first."""
        ...


class RuleBook(Protocol):
    """Settlement rules: immutable versions."""

    def get(self, rule_id: str, version: int) -> SettlementRule | None:
        """Give a version of a rule."""
        ...

    def of_scopes(self, scopes: Collection[str]) -> Sequence[SettlementRule]:
        """Give every version of every rule with one of these scopes."""
        ...

    def add(self, rule: SettlementRule, at: datetime) -> None:
        """Add a version.

        `DuplicateKey` when it is there, or when another rule has a version with the same scope and
        effective date.
        """
        ...


class QuotaBook(Protocol):
    """Quotas, and how much of each is used."""

    def applicable(self, business_lines: Collection[str], partner_id: str) -> Sequence[Quota]:
        """Give the quotas that orders with a partner in these lines can count for.

        That is `total`, those of the lines, that of the partner, and those of the partner's
        products (see `put`).
        """
        ...

    def list(self) -> Sequence[Quota]:
        """Give all quotas, ordered by scope and currency."""
        ...

    def put(self, quota: Quota, partner_id: str | None) -> None:
        """Set a quota's limit and what is used of it, whether it is there or not.

        `partner_id` is the partner of a `partner:` or `product:` scope, None for the others.
        """
        ...

    def change(self, changes: Mapping[str, Mapping[QuotaKey, int]]) -> None:
        """Add to what is used, in minor units, atomically; keys without a quota are passed over.

        `changes` are by partner id; what partners add to a bank-wide scope is summed up.
        `StaleWrite` when an increase no longer fits the limit: read again and decide again.
        """
        ...

    def hold(self) -> None:
        """Let no order of anybody else begin or stop to count until the transaction ends.

        A quota is set thus: put the limit with nothing used, sum up what is `reserved`, and put it
        with that. An order then counts in the sum, or adds itself afterwards (`change`), unless
        it passes the quota over because it is new. So a new quota is put in a transaction before,
        without a limit, and with so much used that orders which it never counted may be released;
        and the transaction that sums up holds first.
        """
        ...

    def reserved(self, scope: str, currency: str) -> int:
        """Sum what open orders reserve in a scope, in minor units, from the orders themselves."""
        ...


class OrderBook(Protocol):
    """Demands and purchase orders."""

    def demands(self, demand_ids: Collection[str]) -> dict[str, DemandRecord]:
        """Give those that were placed, by id."""
        ...

    def add_demands(self, demands: Sequence[DemandRecord]) -> None:
        """Keep demands. `DuplicateKey` when one is there."""
        ...

    def get(self, order_ids: Collection[str]) -> dict[str, PurchaseOrder]:
        """Give those that exist, by id, with their lines in the order they were placed in.

        In a writing transaction nobody else changes them until it ends.
        """
        ...

    def lock(self, order_ids: Collection[str]) -> None:
        """Let nobody else change orders until the transaction ends; nothing of them is read.

        For a decision that rests on what belongs to an order, before that is read: of all that
        decide on an order so, one comes after the other.
        """
        ...

    def add(self, orders: Sequence[PurchaseOrder]) -> None:
        """Add orders. `DuplicateKey` when one is there."""
        ...

    def save(self, changes: Sequence[tuple[PurchaseOrder, PurchaseOrder]]) -> None:
        """Store changed orders, each as (as it was read, as it is now); revisions grow.

        `StaleWrite` when the stored revision is not that which was read.
        """
        ...

    def in_state(
        self,
        states: Collection[OrderState],
        *,
        placed_until: datetime | None = None,
        after: str = "",
        limit: int,
    ) -> Sequence[PurchaseOrder]:
        """Give orders in some states by rising id, after an id; placed by an instant if given.

        In a writing transaction nobody else changes them until it ends; those that somebody else is
        changing just now may be passed over: they come up the next time.
        """
        ...

    def of_sales_partner(self, sales_partner_id: str) -> Sequence[PurchaseOrder]:
        """Give a sales partner's orders that goods can move in: accepted, procuring, on sale.

        By rising id. In a writing transaction nobody else changes them until it ends.
        """
        ...

    def last_accepted_at(self, partner_id: str, until: datetime) -> datetime | None:
        """Give when a partner last accepted an order, not after `until`."""
        ...


class ReportBook(Protocol):
    """Partner reports, taken and refused."""

    def get(self, partner_id: str, report_ids: Collection[str]) -> dict[str, ReportRecord]:
        """Give a partner's reports that were received, by id."""
        ...

    def add(self, records: Sequence[ReportRecord]) -> None:
        """Keep reports. `DuplicateKey` when the partner has one with that id."""
        ...

    def of_order(self, order_id: str) -> Sequence[ReportRecord]:
        """Give an order's reports, in the order they were received."""
        ...

    def unpushed(self, sales_partner_id: str) -> Sequence[ReportRecord]:
        """Give a sales partner's taken reports of sales, returns and completions not yet pushed.

        In the order they were received.
        """
        ...

    def mark_pushed(self, records: Sequence[ReportRecord], slot: datetime) -> None:
        """Note with which slot reports were pushed. `StaleWrite` when one already was."""
        ...


class SettlementBook(Protocol):
    """Settlements and their shares."""

    def of_orders(self, order_ids: Collection[str]) -> dict[str, tuple[Settlement, ...]]:
        """Give each order's settlements, by sequence; orders without any are left out."""
        ...

    def add(self, settlements: Sequence[Settlement]) -> None:
        """Keep settlements. `DuplicateKey` when one is there."""
        ...

    def mark(self, states: Sequence[tuple[Settlement, str, CreditState]]) -> None:
        """Note what became of shares' credits, each as (settlement, beneficiary, state)."""
        ...


class Journal(Protocol):
    """The facts, append-only."""

    def append(self, facts: Sequence[Fact]) -> None:
        """Append facts in their order."""
        ...

    def read(
        self, *, order_id: str | None = None, offset: int = 0, limit: int = 1000
    ) -> Sequence[Fact]:
        """Give facts, of an order or all, in the order they were appended."""
        ...


class Outbox(Protocol):
    """Intents that are to be carried out after the commit, and how far they have come."""

    def add(self, entries: Sequence[OutboxEntry]) -> None:
        """Keep intents. `DuplicateKey` when one with that id is there."""
        ...

    def claim(
        self, kind: type, *, now: datetime, lease_until: datetime, limit: int
    ) -> Sequence[OutboxEntry]:
        """Take up to `limit` due intents of a kind (`Message`, `CreditInstruction`).

        The longest due first, and only waiting ones. Of a stream, only the first that is not done;
        so one that is set aside holds back those behind it. A claimed entry is due again
        at `lease_until`; two transactions never claim the same one before. Each entry is given
        `leased`, with `due_at` = `lease_until`: that is the claim, which `save` checks. Those that
        another transaction is changing just now may be passed over.
        """
        ...

    def release(self, now: datetime) -> int:
        """Make every leased entry due at `now`, its lease ended; give how many there were.

        For when it is known that nobody is working on them: after a crash, before work begins.
        """
        ...

    def save(self, changes: Sequence[tuple[OutboxEntry, OutboxEntry]]) -> Sequence[bool]:
        """Store changed entries, each as (as claimed or read, as it is now).

        Give for each whether it was stored: False when `state`, `attempts`, `leased` or `due_at`
        are no longer as read (the lease ended, and somebody else took it up).
        """
        ...

    def get(self, entry_ids: Collection[str]) -> dict[str, OutboxEntry]:
        """Give those that exist, by id."""
        ...

    def list(self, state: IntentState, *, after: str = "", limit: int) -> Sequence[OutboxEntry]:
        """Give entries in a state by rising id, after an id."""
        ...


class Transaction(Protocol):
    """Everything the desk knows, as of one transaction."""

    @property
    def policies(self) -> PolicyBook:
        """Admission policies."""
        ...

    @property
    def partners(self) -> PartnerBook:
        """Partners and decisions."""
        ...

    @property
    def products(self) -> ProductBook:
        """Consigned products."""
        ...

    @property
    def sales_partners(self) -> SalesPartnerBook:
        """Sales partners."""
        ...

    @property
    def rules(self) -> RuleBook:
        """Settlement rules."""
        ...

    @property
    def quotas(self) -> QuotaBook:
        """Quotas."""
        ...

    @property
    def orders(self) -> OrderBook:
        """Demands and orders."""
        ...

    @property
    def reports(self) -> ReportBook:
        """Partner reports."""
        ...

    @property
    def settlements(self) -> SettlementBook:
        """Settlements."""
        ...

    @property
    def journal(self) -> Journal:
        """The journal."""
        ...

    @property
    def outbox(self) -> Outbox:
        """The outbox."""
        ...


class Storage(Protocol):
    """A store with transactions.

    Promises: what `write` has returned from is durable and visible to every later transaction,
    whole; when it raises, nothing of it stands. Two writing transactions have the effect of one
    after the other, or one of them raises `StaleWrite` or `DuplicateKey`.
    """

    def write(self, work: Callable[[Transaction], T], *, partner_id: str | None = None) -> T:
        """Run `work` in one transaction, commit, and give its result.

        `partner_id` is the partner whose rows it mainly changes, where that is known: a store that
        is spread over several places takes it to that partner's place, others pass it over.

        `work` may be run again from the start when the store had to give up for a passing reason
        (`StaleWrite`, a serialization failure, a lock), a bounded number of times; so it has no
        effect but through the transaction. What it raises, or the last of those errors, is raised
        after everything was rolled back. Not to be called from within itself.

        Raises `StorageBusy` (may be tried again), `StorageReadOnly`, `StorageFull`,
        `StorageUnusable`.
        """
        ...

    def read(self, work: Callable[[Transaction], T], *, one_instant: bool = True) -> T:
        """Run `work`, which only reads, as of one instant, and give its result.

        With `one_instant` False each of its questions may be answered as of an instant of its own,
        which a server answers sooner: for work that asks one question, or whose questions do not
        depend on each other. A write in it raises `StorageReadOnly`.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files. Closing twice is allowed."""
        ...
