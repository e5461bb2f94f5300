"""The books of a memory store, one for each part of `ports.storage.Transaction`."""

from __future__ import annotations

from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.adapters.memory.invariants import (
    check_order,
    check_quota,
    check_settlement,
    check_tally,
)
from consignment.adapters.memory.plain import (
    copied_decision,
    copied_entry,
    copied_fact,
    copied_report,
)
from consignment.adapters.memory.tables import Changes, Data, ProductRow, QuotaRow
from consignment.domain.errors import DuplicateKey, StaleWrite, StorageError
from consignment.domain.message import IntentState
from consignment.domain.name_search import NamePlace, name_place
from consignment.domain.order import OrderState, partner_id_of
from consignment.domain.partner import PartnerStatus
from consignment.domain.progress import Tally, TallyChange, added_up
from consignment.domain.report import ReportKind, ReportOutcome
from consignment.ports.storage import NameHit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import date, datetime
    from typing import TypeVar

    from consignment.domain.admission import AdmissionDecision, AdmissionPolicy
    from consignment.domain.journal import Fact
    from consignment.domain.message import OutboxEntry
    from consignment.domain.order import PurchaseOrder
    from consignment.domain.partner import Partner
    from consignment.domain.product import ConsignedProduct
    from consignment.domain.quota import Quota, QuotaKey
    from consignment.domain.report import ReportRecord
    from consignment.domain.rule import SettlementRule
    from consignment.domain.sales_partner import SalesPartner
    from consignment.domain.settlement import CreditState, Settlement
    from consignment.ports.name_forms import NameForms
    from consignment.ports.storage import DemandRecord

    K = TypeVar("K")
    V = TypeVar("V")

__all__ = [
    "JournalBook",
    "Orders",
    "OutboxBook",
    "Partners",
    "Policies",
    "Products",
    "Quotas",
    "Reports",
    "Rules",
    "SalesPartners",
    "Settlements",
]

_REVIEWED = frozenset({PartnerStatus.ADMITTED, PartnerStatus.SUSPENDED})
_GOODS_MOVE = frozenset({OrderState.ACCEPTED, OrderState.PROCURING, OrderState.ON_SALE})
_PUSHED_KINDS = frozenset({ReportKind.SOLD, ReportKind.RETURNED, ReportKind.COMPLETED})


class _Book:
    def __init__(self, data: Data, changes: Changes) -> None:
        self._data = data
        self._changes = changes

    def _add(self, table: dict[K, V], key: K, row: V) -> None:
        self._changes.check()
        if key in table:
            raise DuplicateKey(f"there is one already: {key}")
        self._changes.put(table, key, row)

    def _index(self, index: dict[K, dict[V, None]], by: K, key: V) -> None:
        # An empty mapping left by a rollback says the same as none.
        self._changes.put(index.setdefault(by, {}), key, None)


def _found(table: Mapping[K, V], keys: Iterable[K]) -> dict[K, V]:
    return {key: table[key] for key in keys if key in table}


def _page(table: Mapping[str, V], after: str, limit: int, wanted: Callable[[V], bool]) -> list[V]:
    keys = (key for key, row in table.items() if key > after and wanted(row))
    return [table[key] for key in nsmallest(limit, keys)]


def _stale(what: str, key: object) -> StaleWrite:
    return StaleWrite(f"{what} {key} is no longer as it was read")


class Policies(_Book):
    """Admission policies."""

    def get(self, version: str | None = None) -> AdmissionPolicy | None:
        """Give a version, or the one in force."""
        policies = self._data.policies
        if version is None:
            version = next(reversed(policies), None)
        # `evolve` copies the mappings in it.
        return evolve(policies[version][0]) if version in policies else None

    def add(self, policy: AdmissionPolicy, at: datetime) -> None:
        """Add a version and put it in force."""
        self._add(self._data.policies, policy.version, (evolve(policy), at))


class Partners(_Book):
    """Partners and the decisions on their admission."""

    def get(self, partner_ids: Collection[str], *, to_change: bool = False) -> dict[str, Partner]:  # noqa: ARG002 - nobody else is at work
        """Give those that exist, by id."""
        return _found(self._data.partners, partner_ids)

    def registered_as(self, registration_number: str) -> str | None:
        """Give the id of the partner with a registration number."""
        return self._data.registration_numbers.get(registration_number)

    def list(
        self, *, review_until: date | None = None, after: str = "", limit: int = 1000
    ) -> Sequence[Partner]:
        """Give partners by rising id, after an id."""

        def wanted(partner: Partner) -> bool:
            return review_until is None or (
                partner.status in _REVIEWED
                and partner.review_on is not None
                and partner.review_on <= review_until
            )

        return _page(self._data.partners, after, limit, wanted)

    def add(self, partner: Partner) -> None:
        """Add a partner."""
        self._add(self._data.partners, partner.partner_id, partner)
        number = partner.details.registration_number
        self._add(self._data.registration_numbers, number, partner.partner_id)

    def save(self, partner: Partner) -> None:
        """Store a changed partner."""
        self._changes.check()
        stored = self._data.partners.get(partner.partner_id)
        if stored is None or stored.revision != partner.revision:
            raise _stale("partner", partner.partner_id)
        if stored.details.registration_number != partner.details.registration_number:
            raise StorageError(f"partner {partner.partner_id} cannot be registered anew")
        changed = evolve(partner, revision=partner.revision + 1)
        self._changes.put(self._data.partners, partner.partner_id, changed)

    def decisions(self, request_id: str) -> Sequence[AdmissionDecision]:
        """Give the decisions on a request, oldest first."""
        return [copied_decision(each) for each in self._data.decisions.get(request_id, ())]

    def add_decision(self, decision: AdmissionDecision) -> None:
        """Keep a decision."""
        self._changes.check()
        request_id = decision.request.request_id
        kept = self._data.decisions.get(request_id, ())
        if any(each.sequence == decision.sequence for each in kept):
            raise DuplicateKey(f"there is one already: {request_id}, {decision.sequence}")
        decisions = sorted((*kept, copied_decision(decision)), key=lambda each: each.sequence)
        self._changes.put(self._data.decisions, request_id, tuple(decisions))


class Products(_Book):
    """Consigned products and their tallies."""

    def __init__(self, data: Data, changes: Changes, names: NameForms) -> None:
        super().__init__(data, changes)
        self._names = names

    def owners(self, numbers: Collection[str]) -> dict[str, str]:
        """Give the partner id of each product number that exists."""
        found = _found(self._data.products, numbers)
        return {number: row.product.partner_id for number, row in found.items()}

    def get(
        self, partner_id: str, numbers: Collection[str]
    ) -> dict[str, tuple[ConsignedProduct, Tally]]:
        """Give a partner's products that exist, with their tallies, by number."""
        return {
            number: (row.product, row.tally)
            for number, row in _found(self._data.products, numbers).items()
            if row.product.partner_id == partner_id
        }

    def by_numbers(self, numbers: Collection[str]) -> dict[str, tuple[ConsignedProduct, Tally]]:
        """Give the products of whatever partners that exist, with their tallies, by number."""
        found = _found(self._data.products, numbers)
        return {number: (row.product, row.tally) for number, row in found.items()}

    def claim(self, partner_id: str, numbers: Collection[str]) -> dict[str, str]:  # noqa: ARG002 - nobody else is at work
        """Give the partner id of each number that somebody has already."""
        self._changes.check()
        return self.owners(numbers)

    def add(self, products: Sequence[ConsignedProduct]) -> None:
        """Add products."""
        for product in products:
            row = ProductRow(product, Tally(), *self._forms(product.name))
            self._add(self._data.products, product.number, row)

    def save(self, products: Sequence[ConsignedProduct]) -> None:
        """Store changed products; their tallies stay."""
        for product in products:
            row = self._row(product.partner_id, product.number)
            if row.product.revision != product.revision or (
                row.tally.ordered and _counted_in(row.product) != _counted_in(product)
            ):
                raise _stale("product", product.number)
            changed = evolve(product, revision=product.revision + 1)
            now = ProductRow(changed, row.tally, *self._forms(product.name))
            self._changes.put(self._data.products, product.number, now)

    def tally(self, changes: Sequence[TallyChange]) -> None:
        """Add to the tallies of products, and to those by whom they are sold for."""
        for each in changes:
            product = self._row(each.partner_id, each.product_number).product
            if (product.unit_places, product.currency) != (each.unit_places, each.currency):
                raise _stale("product", product.number)
        of_products = (((each.partner_id, each.product_number), each.change) for each in changes)
        for (partner_id, number), change in added_up(of_products):
            row = self._row(partner_id, number)
            tally = row.tally.plus(change)
            check_tally(number, tally)
            self._changes.put(self._data.products, number, evolve(row, tally=tally))
        for key, change in added_up((_scopes(each), each.change) for each in changes):
            known = self._data.tallies.get(key)
            if known is None and change.ordered <= 0:
                raise _stale("tally", key)
            tally = change if known is None else known.plus(change)
            check_tally(key[1], tally)
            self._changes.put(self._data.tallies, key, tally)

    def tallies(
        self,
        *,
        partner_id: str | None = None,
        sales_partner_id: str | None = None,
        business_line: str | None = None,
    ) -> dict[tuple[str, str], Tally]:
        """Give what happened to products in the orders that meet every given condition."""
        found = (
            ((owner, number), tally)
            for (owner, number, sold_for, line), tally in self._data.tallies.items()
            if partner_id in {None, owner}
            and sales_partner_id in {None, sold_for}
            and business_line in {None, line}
        )
        return dict(added_up(found))

    def _row(self, partner_id: str, number: str) -> ProductRow:
        self._changes.check()
        row = self._data.products.get(number)
        if row is None or row.product.partner_id != partner_id:
            raise _stale("product", number)
        return row

    def find(self, text: str, *, after: NamePlace | None = None, limit: int) -> Sequence[NameHit]:
        """Find products by name: by rank, then by what follows the text, then by number."""
        key = self._names.key(text)
        rows = self._data.products
        places = (
            NamePlace(*place, number)
            for number, row in rows.items()
            if key and (place := name_place(row.name_key, row.name_forms, key)) is not None
        )
        hits = nsmallest(limit, (place for place in places if after is None or place > after))
        return [NameHit(each, rows[each.number].product, rows[each.number].tally) for each in hits]

    def reindex(self, after: str, limit: int) -> tuple[str | None, int]:
        """Bring some products' forms up to date; give the last number and how many changed."""
        numbers = nsmallest(limit, (number for number in self._data.products if number > after))
        changed = 0
        for number in numbers:
            row = self._data.products[number]
            key, forms = self._forms(row.product.name)
            if (key, forms) != (row.name_key, row.name_forms):
                product = evolve(row.product, revision=row.product.revision + 1)
                now = ProductRow(product, row.tally, key, forms)
                self._changes.put(self._data.products, number, now)
                changed += 1
        return (numbers[-1] if numbers else None), changed

    def _forms(self, name: str) -> tuple[str, tuple[str, ...]]:
        key = self._names.key(name)
        return key, tuple(self._names.others(key))


def _counted_in(product: ConsignedProduct) -> tuple[str, int, str]:
    return product.unit, product.unit_places, product.currency


def _scopes(change: TallyChange) -> tuple[str, str, str, str]:
    return (
        change.partner_id,
        change.product_number,
        change.sales_partner_id,
        change.business_line,
    )


class SalesPartners(_Book):
    """Sales partners."""

    def get(self, sales_partner_ids: Collection[str]) -> dict[str, SalesPartner]:
        """Give those that exist, by id."""
        return _found(self._data.sales_partners, sales_partner_ids)

    def add(self, sales_partner: SalesPartner) -> None:
        """Add one."""
        self._add(self._data.sales_partners, sales_partner.sales_partner_id, sales_partner)

    def save(self, sales_partner: SalesPartner) -> None:
        """Store a changed one."""
        self._changes.check()
        key = sales_partner.sales_partner_id
        stored = self._data.sales_partners.get(key)
        if stored is None or stored.revision != sales_partner.revision:
            raise _stale("sales partner", key)
        changed = evolve(sales_partner, revision=sales_partner.revision + 1)
        self._changes.put(self._data.sales_partners, key, changed)

    def push_due(self, now: datetime, limit: int) -> Sequence[SalesPartner]:
        """Give those whose next push is due at `now`, the longest due first."""
        due = (
            (each.next_push_at, key)
            for key, each in self._data.sales_partners.items()
            if each.next_push_at is not None and each.next_push_at <= now
        )
        return [self._data.sales_partners[key] for _, key in nsmallest(limit, due)]


class Rules(_Book):
    """Settlement rules."""

    def get(self, rule_id: str, version: int) -> SettlementRule | None:
        """Give a version of a rule."""
        return self._data.rules.get((rule_id, version))

    def of_scopes(self, scopes: Collection[str]) -> Sequence[SettlementRule]:
        """Give every version of every rule with one of these scopes, by id and version."""
        return [rule for _, rule in sorted(self._data.rules.items()) if rule.scope in scopes]

    def add(self, rule: SettlementRule, at: datetime) -> None:  # noqa: ARG002 - the port's signature
        """Add a version."""
        self._add(self._data.rules, (rule.rule_id, rule.version), rule)
        place = rule.scope, rule.effective_from
        if self._data.rule_dates.get(place, rule.rule_id) != rule.rule_id:
            raise DuplicateKey(f"there is another rule of {place}")
        self._changes.put(self._data.rule_dates, place, rule.rule_id)


class Quotas(_Book):
    """Quotas, and how much of each is used."""

    def applicable(self, business_lines: Collection[str], partner_id: str) -> Sequence[Quota]:
        """Give the quotas that orders with a partner in these lines can count for."""
        bank = {"total", *(f"business_line:{line}" for line in business_lines)}
        return [
            row.quota
            for (scope, _), row in sorted(self._data.quotas.items())
            if (scope in bank if row.partner_id is None else row.partner_id == partner_id)
        ]

    def list(self) -> Sequence[Quota]:
        """Give all quotas, ordered by scope and currency."""
        return [row.quota for _, row in sorted(self._data.quotas.items())]

    def put(self, quota: Quota, partner_id: str | None) -> None:
        """Set a quota's limit and what is used of it."""
        check_quota(quota)
        self._changes.put(self._data.quotas, quota.key, QuotaRow(quota, partner_id))

    def change(self, changes: Mapping[str, Mapping[QuotaKey, int]]) -> None:
        """Add to what is used, in minor units; `StaleWrite` when an increase does not fit."""
        self._changes.check()
        sums: dict[QuotaKey, int] = {}
        for partner_id, of_partner in changes.items():
            for key, amount in of_partner.items():
                row = self._data.quotas.get(key)
                if row is not None and row.partner_id in {None, partner_id}:
                    sums[key] = sums.get(key, 0) + amount
        changed = []
        for key, amount in sums.items():
            row = self._data.quotas[key]
            quota = evolve(row.quota, used_minor=row.quota.used_minor + amount)
            if amount > 0 and quota.used_minor > quota.limit_minor:
                raise StaleWrite(f"{amount} no longer fits quota {key}")
            check_quota(quota)
            changed.append(QuotaRow(quota, row.partner_id))
        for row in changed:
            self._changes.put(self._data.quotas, row.quota.key, row)

    def hold(self) -> None:
        """Nobody else is at work."""
        self._changes.check()

    def reserved(self, scope: str, currency: str) -> int:
        """Sum what open orders reserve in a scope, in minor units."""
        return sum(
            order.reservations().get((scope, currency), 0) for order in self._data.orders.values()
        )


class Orders(_Book):
    """Demands and purchase orders."""

    def demands(self, demand_ids: Collection[str]) -> dict[str, DemandRecord]:
        """Give those that were placed, by id."""
        return _found(self._data.demands, demand_ids)

    def add_demands(self, demands: Sequence[DemandRecord]) -> None:
        """Keep demands."""
        for demand in demands:
            self._add(self._data.demands, demand.demand_id, demand)

    def get(self, order_ids: Collection[str]) -> dict[str, PurchaseOrder]:
        """Give those that exist, by id."""
        return _found(self._data.orders, order_ids)

    def lock(self, order_ids: Collection[str]) -> None:
        """Nobody else is at work."""

    def add(self, orders: Sequence[PurchaseOrder]) -> None:
        """Add orders."""
        for order in orders:
            check_order(order)
            self._add(self._data.orders, order.order_id, order)
            of_sales_partner = self._data.orders_of_sales_partner
            self._index(of_sales_partner, order.sales_partner_id, order.order_id)
            self._index(self._data.orders_of_partner, order.partner_id, order.order_id)

    def save(self, changes: Sequence[tuple[PurchaseOrder, PurchaseOrder]]) -> None:
        """Store changed orders, each as (as it was read, as it is now)."""
        self._changes.check()
        for before, after in changes:
            stored = self._data.orders.get(before.order_id)
            if stored is None or stored.revision != before.revision:
                raise _stale("order", before.order_id)
            check_order(after)
            changed = evolve(after, revision=before.revision + 1)
            self._changes.put(self._data.orders, before.order_id, changed)

    def in_state(
        self,
        states: Collection[OrderState],
        *,
        placed_until: datetime | None = None,
        after: str = "",
        limit: int,
    ) -> Sequence[PurchaseOrder]:
        """Give orders in some states by rising id, after an id; placed by an instant if given."""

        def wanted(order: PurchaseOrder) -> bool:
            return order.state in states and (
                placed_until is None or order.placed_at <= placed_until
            )

        return _page(self._data.orders, after, limit, wanted)

    def of_sales_partner(self, sales_partner_id: str) -> Sequence[PurchaseOrder]:
        """Give a sales partner's orders that goods can move in, by rising id."""
        ids = self._data.orders_of_sales_partner.get(sales_partner_id, {})
        orders = (self._data.orders[each] for each in sorted(ids))
        return [order for order in orders if order.state in _GOODS_MOVE]

    def last_accepted_at(self, partner_id: str, until: datetime) -> datetime | None:
        """Give when a partner last accepted an order, not after `until`."""
        ids = self._data.orders_of_partner.get(partner_id, {})
        instants = (self._data.orders[each].accepted_at for each in ids)
        return max((at for at in instants if at is not None and at <= until), default=None)


class Reports(_Book):
    """Partner reports, taken and refused."""

    def get(self, partner_id: str, report_ids: Collection[str]) -> dict[str, ReportRecord]:
        """Give a partner's reports that were received, by id."""
        keys = ((partner_id, report_id) for report_id in report_ids)
        found = _found(self._data.reports, keys)
        return {report_id: copied_report(record) for (_, report_id), record in found.items()}

    def add(self, records: Sequence[ReportRecord]) -> None:
        """Keep reports."""
        data = self._data
        for record in records:
            key = record.partner_id, record.report_id
            self._add(data.reports, key, copied_report(record))
            if record.order_id is not None and partner_id_of(record.order_id) == record.partner_id:
                self._index(data.reports_of_order, record.order_id, record.report_id)
            if record.sales_partner_id is not None:
                self._index(data.reports_of_sales_partner, record.sales_partner_id, key)

    def of_order(self, order_id: str) -> Sequence[ReportRecord]:
        """Give an order's reports, in the order they were received."""
        ids = self._data.reports_of_order.get(order_id, {})
        return list(self.get(partner_id_of(order_id), ids).values())

    def unpushed(self, sales_partner_id: str) -> Sequence[ReportRecord]:
        """Give a sales partner's reports that are not yet pushed, in the order received."""
        keys = self._data.reports_of_sales_partner.get(sales_partner_id, {})
        records = (self._data.reports[key] for key in keys)
        return [
            copied_report(record)
            for record in records
            if record.pushed_slot is None
            and record.outcome is ReportOutcome.TAKEN
            and record.kind in _PUSHED_KINDS
        ]

    def mark_pushed(self, records: Sequence[ReportRecord], slot: datetime) -> None:
        """Note with which slot reports were pushed."""
        self._changes.check()
        for record in records:
            key = record.partner_id, record.report_id
            stored = self._data.reports.get(key)
            if stored is None or stored.pushed_slot is not None:
                raise _stale("report", key)
            self._changes.put(self._data.reports, key, evolve(stored, pushed_slot=slot))


class Settlements(_Book):
    """Settlements and their shares."""

    def of_orders(self, order_ids: Collection[str]) -> dict[str, tuple[Settlement, ...]]:
        """Give each order's settlements, by sequence; orders without any are left out."""
        return _found(self._data.settlements, order_ids)

    def add(self, settlements: Sequence[Settlement]) -> None:
        """Keep settlements."""
        self._changes.check()
        for settlement in settlements:
            check_settlement(settlement)
            kept = self._data.settlements.get(settlement.order_id, ())
            if any(each.sequence == settlement.sequence for each in kept):
                raise DuplicateKey(f"there is one already: {settlement.settlement_id}")
            self._put(settlement.order_id, (*kept, settlement))

    def mark(self, states: Sequence[tuple[Settlement, str, CreditState]]) -> None:
        """Note what became of shares' credits, each as (settlement, beneficiary, state)."""
        self._changes.check()
        for settlement, beneficiary, state in states:
            kept = {
                each.sequence: each for each in self._data.settlements.get(settlement.order_id, ())
            }
            stored = kept.get(settlement.sequence)
            if stored is None or beneficiary not in {each.beneficiary for each in stored.shares}:
                raise _stale("settlement", settlement.settlement_id)
            shares = tuple(
                evolve(each, state=state) if each.beneficiary == beneficiary else each
                for each in stored.shares
            )
            kept[settlement.sequence] = evolve(stored, shares=shares)
            self._put(settlement.order_id, kept.values())

    def _put(self, order_id: str, settlements: Iterable[Settlement]) -> None:
        by_sequence = tuple(sorted(settlements, key=lambda each: each.sequence))
        self._changes.put(self._data.settlements, order_id, by_sequence)


class JournalBook(_Book):
    """The facts, append-only."""

    def append(self, facts: Sequence[Fact]) -> None:
        """Append facts in their order."""
        for fact in facts:
            place = len(self._data.facts)
            self._changes.put(self._data.facts, place, copied_fact(fact))
            if fact.order_id is not None:
                self._index(self._data.facts_of_order, fact.order_id, place)

    def read(
        self, *, order_id: str | None = None, offset: int = 0, limit: int = 1000
    ) -> Sequence[Fact]:
        """Give facts, of an order or all, in the order they were appended."""
        facts = self._data.facts
        if order_id is None:
            places: Iterable[int] = range(offset, min(offset + limit, len(facts)))
        else:
            of_order = self._data.facts_of_order.get(order_id, {})
            places = islice(of_order, offset, offset + limit)
        return [copied_fact(facts[place]) for place in places]


class OutboxBook(_Book):
    """Intents that are to be carried out after the commit, and how far they have come."""

    def add(self, entries: Sequence[OutboxEntry]) -> None:
        """Keep intents."""
        for entry in entries:
            self._add(self._data.outbox, entry.entry_id, copied_entry(entry))
            if entry.state is not IntentState.DONE:
                self._changes.put(self._data.outbox_not_done, entry.entry_id, None)

    def claim(
        self, kind: type, *, now: datetime, lease_until: datetime, limit: int
    ) -> Sequence[OutboxEntry]:
        """Take up to `limit` due intents of a kind, the longest due first."""
        self._changes.check()
        first: dict[str, OutboxEntry] = {}
        for entry_id in self._data.outbox_not_done:
            entry = self._data.outbox[entry_id]
            if isinstance(entry.intent, kind):
                head = first.setdefault(entry.intent.stream, entry)
                if _place(entry) < _place(head):
                    first[entry.intent.stream] = entry
        due = (
            entry
            for entry in first.values()
            if entry.state is IntentState.WAITING and entry.due_at <= now
        )
        claimed = [
            evolve(entry, leased=True, due_at=lease_until)
            for entry in nsmallest(limit, due, key=lambda each: (each.due_at, _place(each)))
        ]
        for entry in claimed:
            self._changes.put(self._data.outbox, entry.entry_id, entry)
        return list(map(copied_entry, claimed))

    def release(self, now: datetime) -> int:
        """Make every leased entry due at `now`, its lease ended; give how many there were."""
        self._changes.check()
        entries = map(self._data.outbox.__getitem__, self._data.outbox_not_done)
        leased = [entry for entry in entries if entry.leased]
        for entry in leased:
            released = evolve(entry, leased=False, due_at=now)
            self._changes.put(self._data.outbox, entry.entry_id, released)
        return len(leased)

    def save(self, changes: Sequence[tuple[OutboxEntry, OutboxEntry]]) -> Sequence[bool]:
        """Store changed entries that are still as they were claimed or read."""
        self._changes.check()
        return [self._save(before, after) for before, after in changes]

    def _save(self, before: OutboxEntry, after: OutboxEntry) -> bool:
        stored = self._data.outbox.get(before.entry_id)
        if stored is None or _progress(stored) != _progress(before):
            return False
        self._changes.put(self._data.outbox, before.entry_id, copied_entry(after))
        if after.state is IntentState.DONE:
            self._changes.drop(self._data.outbox_not_done, before.entry_id)
        else:
            self._changes.put(self._data.outbox_not_done, before.entry_id, None)
        return True

    def get(self, entry_ids: Collection[str]) -> dict[str, OutboxEntry]:
        """Give those that exist, by id."""
        found = _found(self._data.outbox, entry_ids)
        return {entry_id: copied_entry(entry) for entry_id, entry in found.items()}

    def list(self, state: IntentState, *, after: str = "", limit: int) -> Sequence[OutboxEntry]:
        """Give entries in a state by rising id, after an id."""
        entries = _page(self._data.outbox, after, limit, lambda entry: entry.state is state)
        return [copied_entry(entry) for entry in entries]


def _place(entry: OutboxEntry) -> tuple[int, str]:
    return entry.position, entry.entry_id


def _progress(entry: OutboxEntry) -> tuple[IntentState, int, bool, datetime]:
    return entry.state, entry.attempts, entry.leased, entry.due_at
