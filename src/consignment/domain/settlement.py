"""Profit settlement: from an order's figures and the rule in force to what each one is due.

Everything here is computed in whole minor units and fractions; each place where something is
rounded says so in the explanation.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from consignment.domain.errors import Reason, Refused, reason
from consignment.domain.money import (
    MAX_SUM,
    Money,
    allocate,
    decimal_text,
    minor_places,
    percent_text,
    round_half_up,
    value_minor,
)
from consignment.domain.quantity import MAX_UNIT_PLACES
from consignment.domain.rule import Basis, DeductionKind, RuleSet, SettlementRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date
    from decimal import Decimal

    from consignment.domain.order import OrderLine, PurchaseOrder

__all__ = [
    "CreditState",
    "Settlement",
    "SettlementShare",
    "compute",
    "pool_of",
    "settlement_id_of",
]


class CreditState(StrEnum):
    """What became of a share."""

    #: The partner holds the money already.
    KEPT = "kept"
    #: There is nothing to credit.
    NOTHING = "nothing"
    #: The instruction is waiting to be carried out.
    DUE = "due"
    CREDITED = "credited"
    SET_ASIDE = "set_aside"


@frozen
class SettlementShare:
    """What one beneficiary gets of a settlement, in minor units.

    `account` names whom it belongs to in the ledger: `sales_partner:ID`, `partner:ID` or `bank`.
    """

    beneficiary: str
    account: str
    share_minor: int
    withheld_minor: int
    state: CreditState

    @property
    def payable_minor(self) -> int:
        """The share less what is withheld."""
        return self.share_minor - self.withheld_minor


@frozen(kw_only=True)
class Settlement:
    """One computation of an order's profit, and what each beneficiary is due.

    `sequence` counts an order's settlements from 1. `base_minor` may be negative: then the loss is
    shown and not shared. `rules` has the id and version of each rule applied. `explanation` tells
    every step. Instants are UTC.
    """

    settlement_id: str
    sequence: int
    order_id: str
    partner_id: str
    sales_partner_id: str
    currency: str
    settled_at: datetime
    net_sales_minor: int
    cost_of_goods_minor: int
    deductions: tuple[tuple[str, int], ...]
    base_minor: int
    pool_minor: int
    shares: tuple[SettlementShare, ...]
    rules: tuple[tuple[str, int], ...]
    explanation: tuple[str, ...] = field(repr=False)

    @property
    def net_sales(self) -> Money:
        """Sales less what customers got back."""
        return Money(self.net_sales_minor, self.currency)

    @property
    def cost_of_goods(self) -> Money:
        """Procurement cost less the credit for what was sent back."""
        return Money(self.cost_of_goods_minor, self.currency)

    @property
    def pool(self) -> Money:
        """What is shared."""
        return Money(self.pool_minor, self.currency)

    @property
    def loss(self) -> Money:
        """By how much the base was below zero."""
        return Money(max(0, -self.base_minor), self.currency)

    @property
    def credited_total(self) -> Money:
        """What is paid to beneficiaries' accounts, carried out or still due."""
        total = sum(
            share.payable_minor
            for share in self.shares
            if share.state not in {CreditState.KEPT, CreditState.NOTHING}
        )
        return Money(total, self.currency)

    def credit_key(self, share: SettlementShare) -> str:
        """Give the idempotency key of a share's credit; it never changes."""
        return f"{self.settlement_id}:{share.beneficiary}"

    @property
    def due(self) -> tuple[SettlementShare, ...]:
        """The shares whose credit is to be carried out."""
        return tuple(share for share in self.shares if share.state is CreditState.DUE)


def settlement_id_of(order_id: str, sequence: int) -> str:
    """Give the id of an order's settlement."""
    return f"{order_id}:{sequence}"


@frozen
class _Sum:
    """The figures of the lines that one rule applies to."""

    net_sales: int
    cost_of_goods: int
    agreed_value: int
    #: Net sold, in units of the sixth decimal place, the finest that a product may have.
    millionths_net_sold: int

    @classmethod
    def of(cls, lines: Iterable[OrderLine], *, completed: bool) -> _Sum:
        net_sales = cost = agreed = millionths = 0
        for line in lines:
            net_sold = line.net_sold
            net_sales += line.net_sales_minor
            cost += line.cost_of_goods_minor if completed else line.cost_of_sold_minor
            agreed += value_minor(net_sold, line.unit_places, line.agreed_price_minor)
            millionths += net_sold * 10 ** (MAX_UNIT_PLACES - line.unit_places)
        return cls(net_sales, cost, agreed, millionths)

    @property
    def units_net_sold(self) -> Fraction:
        """Net sold in whole units, exactly."""
        return Fraction(self.millionths_net_sold, 10**MAX_UNIT_PLACES)


@frozen
class _Part:
    """What one rule makes of its lines."""

    rule: SettlementRule
    deductions: tuple[tuple[str, int], ...]
    base: int
    pool: int
    shares: tuple[SettlementShare, ...]
    explanation: tuple[str, ...]


def compute(
    order: PurchaseOrder,
    rules: Iterable[SettlementRule],
    *,
    placed_on: date,
    settled_at: datetime,
    sequence: int = 1,
) -> Settlement:
    """Settle an order by the rules in force on the day it was placed.

    Before an order is completed, its cost of goods is that of what was sold, at the weighted
    average of the procurement so far; then it is all that was procured less what was sent back.
    Lines to which different rules apply are settled by rule; an expense reported for the order is
    then divided among them by net sales. Raises `Refused`: `rule_missing` (product numbers),
    `rule_currency_differs`, `amount_too_large` (the figure's name).
    """
    known = RuleSet.of(rules)
    chosen = [
        known.in_force(
            product_number=line.product_number,
            partner_id=order.partner_id,
            business_line=order.business_line,
            day=placed_on,
        )
        for line in order.lines
    ]
    groups = _groups(order, chosen)
    completed = order.completed
    sums = [_Sum.of(lines, completed=completed) for _, lines in groups]
    expenses = _expenses_by_part(order, sums)
    parts = [
        _part(order, rule, total, expense, lines)
        for (rule, lines), total, expense in zip(groups, sums, expenses, strict=True)
    ]
    whole = sums[0] if len(sums) == 1 else _Sum.of(order.lines, completed=completed)
    places = minor_places(order.currency)
    shares = _merged_shares(parts)
    deductions: dict[str, int] = {}
    for part in parts:
        for name, amount in part.deductions:
            deductions[name] = deductions.get(name, 0) + amount
    head = (
        f"order {order.order_id}, settlement {sequence}, all amounts in {order.currency}",
        *(line for part in parts for line in part.explanation),
        *_share_totals(shares, places, parts),
    )
    base, pool = sum(part.base for part in parts), sum(part.pool for part in parts)
    _check_size(
        order,
        net_sales=whole.net_sales,
        cost_of_goods=whole.cost_of_goods,
        base=base,
        pool=pool,
    )
    return Settlement(
        settlement_id=settlement_id_of(order.order_id, sequence),
        sequence=sequence,
        order_id=order.order_id,
        partner_id=order.partner_id,
        sales_partner_id=order.sales_partner_id,
        currency=order.currency,
        settled_at=settled_at,
        net_sales_minor=whole.net_sales,
        cost_of_goods_minor=whole.cost_of_goods,
        deductions=tuple(deductions.items()),
        base_minor=base,
        pool_minor=pool,
        shares=shares,
        rules=tuple((part.rule.rule_id, part.rule.version) for part in parts),
        explanation=head,
    )


def _check_size(order: PurchaseOrder, **figures: int) -> None:
    """Refuse what could not be kept: a rule may give so much for each unit."""
    too_large = [
        reason(
            "amount_too_large",
            order_id=order.order_id,
            field=name,
            value=decimal_text(minor, minor_places(order.currency)),
            currency=order.currency,
        )
        for name, minor in figures.items()
        if abs(minor) > MAX_SUM
    ]
    if too_large:
        raise Refused(too_large)


def _groups(
    order: PurchaseOrder, chosen: Sequence[SettlementRule | None]
) -> list[tuple[SettlementRule, list[OrderLine]]]:
    groups: dict[tuple[str, int], tuple[SettlementRule, list[OrderLine]]] = {}
    missing: list[Reason] = []
    for line, rule in zip(order.lines, chosen, strict=True):
        if rule is None:
            number = line.product_number
            missing.append(reason("rule_missing", order_id=order.order_id, product_number=number))
        else:
            groups.setdefault((rule.rule_id, rule.version), (rule, []))[1].append(line)
    wrong = [
        reason(
            "rule_currency_differs",
            order_id=order.order_id,
            rule_id=rule.rule_id,
            rule_currency=rule.currency,
            order_currency=order.currency,
        )
        for rule, _ in groups.values()
        if rule.names_money and rule.currency != order.currency
    ]
    if missing or wrong:
        raise Refused([*missing, *wrong])
    return list(groups.values())


def _expenses_by_part(order: PurchaseOrder, sums: Sequence[_Sum]) -> list[dict[str, int]]:
    if len(sums) == 1:
        return [dict(order.expenses)]
    weights = [Fraction(max(0, each.net_sales)) for each in sums]
    if not any(weights):
        weights = [Fraction(1)] * len(sums)
    divided: list[dict[str, int]] = [{} for _ in sums]
    for name, amount in order.expenses:
        for part, part_amount in zip(divided, allocate(amount, weights), strict=True):
            part[name] = part_amount
    return divided


def _part(
    order: PurchaseOrder,
    rule: SettlementRule,
    total: _Sum,
    expenses: dict[str, int],
    lines: Sequence[OrderLine],
) -> _Part:
    places = minor_places(order.currency)

    def text(minor: int) -> str:
        return decimal_text(minor, places)

    told = [
        (
            f"rule {rule.rule_id} version {rule.version}, scope {rule.scope}, "
            f"effective from {rule.effective_from.isoformat()}, basis {rule.basis.value}"
        )
    ]
    told += [
        f"  {line.product_number}: net sold {decimal_text(line.net_sold, line.unit_places)}, "
        f"sales {text(line.gross_sales_minor)} - returns {text(line.returns_minor)} "
        f"= net sales {text(line.net_sales_minor)}; {_cost_told(order, line, text)}"
        for line in lines
    ]
    told.append(f"net sales {text(total.net_sales)}, cost of goods {text(total.cost_of_goods)}")
    base = _base(rule.basis, total, text, told)
    deductions = _deductions(rule, total.net_sales, expenses, text, told)
    if deductions:
        base -= sum(amount for _, amount in deductions)
        told.append(f"base after deductions: {text(base)}")
    pool = pool_of(rule, base, total.units_net_sold, order.currency, told)
    shares = _shares(order, rule, pool, text, told)
    return _Part(rule, deductions, base, pool, shares, tuple(told))


def _cost_told(order: PurchaseOrder, line: OrderLine, text: _Text) -> str:
    procured = text(line.procurement_cost_minor)
    if not order.completed:
        return (
            f"average cost {procured}/{decimal_text(line.procured, line.unit_places)} x net sold "
            f"= cost of goods {text(line.cost_of_sold_minor)} (half-up)"
        )
    return (
        f"procured for {procured} - sent back {text(line.sent_back_credit_minor)} "
        f"= cost of goods {text(line.cost_of_goods_minor)}"
    )


def _base(basis: Basis, total: _Sum, text: _Text, told: list[str]) -> int:
    if basis is Basis.SALES:
        told.append(f"base (sales): {text(total.net_sales)}")
        return total.net_sales
    less, name = (
        (total.cost_of_goods, "cost of goods")
        if basis is Basis.PROFIT
        else (total.agreed_value, "agreed price x net sold")
    )
    base = total.net_sales - less
    told.append(
        f"base ({basis.value}): net sales {text(total.net_sales)} - {name} {text(less)} "
        f"= {text(base)}"
    )
    return base


def _deductions(
    rule: SettlementRule,
    net_sales: int,
    expenses: dict[str, int],
    text: _Text,
    told: list[str],
) -> tuple[tuple[str, int], ...]:
    deducted = []
    for each in rule.deductions:
        if each.kind is DeductionKind.REPORTED or each.percent is None:
            amount = expenses.get(each.name, 0)
            told.append(f"deduction {each.name} (reported): {text(amount)}")
        else:
            amount = round_half_up(net_sales * each.percent)
            told.append(
                f"deduction {each.name}: {percent_text(each.percent)} % of net sales "
                f"{text(net_sales)} = {text(amount)} (half-up)"
            )
        deducted.append((each.name, amount))
    named = {each.name for each in rule.deductions if each.kind is DeductionKind.REPORTED}
    told += [
        f"reported {name} {text(amount)} is not deducted by this rule"
        for name, amount in expenses.items()
        if name not in named
    ]
    return tuple(deducted)


def pool_of(
    rule: SettlementRule, base: int, units_net_sold: Fraction, currency: str, told: list[str]
) -> int:
    """Form the pool in minor units from a base in minor units; tell the steps.

    Formed exactly, rounded half-up once, then the minimum, then the cap. A negative base gives
    zero, or the minimum.
    """
    places = minor_places(currency)
    if base < 0:
        told.append(f"the base is negative: a loss of {decimal_text(-base, places)}, not shared")
    floor_base = max(0, base)
    amount = rule.amount
    if amount is None:
        told.append(f"pool: the whole base = {decimal_text(floor_base, places)}")
        return floor_base
    unit = 10**places
    exact = amount.form(Fraction(floor_base), units_net_sold, unit) if base >= 0 else Fraction(0)
    pool = round_half_up(exact)
    told.append(f"pool: {amount.formula} = {decimal_text(pool, places)} (half-up)")
    if amount.minimum is not None and pool < (least := _minor(amount.minimum, unit)):
        told.append(f"raised to the minimum {amount.minimum}")
        pool = least
    if amount.cap is not None and pool > (most := _minor(amount.cap, unit)):
        told.append(f"lowered to the cap {amount.cap}")
        pool = most
    return pool


def _minor(amount: Decimal, unit: int) -> int:
    """Give an amount of a rule in minor units: exact, whatever decimal context the host has set."""
    return int(Fraction(amount) * unit)


def _shares(
    order: PurchaseOrder, rule: SettlementRule, pool: int, text: _Text, told: list[str]
) -> tuple[SettlementShare, ...]:
    weights = [share.weight for share in rule.shares]
    parts = allocate(pool, weights)
    total = sum(weights, Fraction(0))
    unit = 10 ** minor_places(order.currency)
    shares = []
    for share, part in zip(rule.shares, parts, strict=True):
        told.append(
            f"share of {share.beneficiary}: {text(pool)} x {share.weight}/{total} = {text(part)} "
            "(largest remainder)"
        )
        withheld = 0
        if share.withholding is not None:
            over = max(0, part - _minor(share.withholding.threshold, unit))
            withheld = round_half_up(over * share.withholding.percent)
            told.append(
                f"withheld as {share.withholding.name}: {percent_text(share.withholding.percent)} "
                f"% of what exceeds {share.withholding.threshold} = {text(withheld)} (half-up)"
            )
        account = _account_of(share.beneficiary, order)
        state = _state(share.beneficiary, part - withheld)
        shares.append(SettlementShare(share.beneficiary, account, part, withheld, state))
    return tuple(shares)


def _state(beneficiary: str, payable: int) -> CreditState:
    if beneficiary == "partner":
        return CreditState.KEPT
    return CreditState.DUE if payable else CreditState.NOTHING


def _account_of(beneficiary: str, order: PurchaseOrder) -> str:
    if beneficiary == "sales_partner":
        return f"sales_partner:{order.sales_partner_id}"
    if beneficiary == "partner":
        return f"partner:{order.partner_id}"
    return beneficiary


def _merged_shares(parts: Sequence[_Part]) -> tuple[SettlementShare, ...]:
    if len(parts) == 1:
        return parts[0].shares
    merged: dict[str, SettlementShare] = {}
    for share in (share for part in parts for share in part.shares):
        one = merged.get(share.beneficiary)
        if one is None:
            merged[share.beneficiary] = share
            continue
        both = evolve(
            one,
            share_minor=one.share_minor + share.share_minor,
            withheld_minor=one.withheld_minor + share.withheld_minor,
        )
        merged[share.beneficiary] = evolve(both, state=_state(both.beneficiary, both.payable_minor))
    return tuple(merged.values())


def _share_totals(
    shares: Sequence[SettlementShare], places: int, parts: Sequence[_Part]
) -> list[str]:
    several = "over all rules, " if len(parts) > 1 else ""
    return [
        f"{several}{share.beneficiary} "
        f"{'keeps' if share.state is CreditState.KEPT else 'is credited'} "
        f"{decimal_text(share.payable_minor, places)} "
        f"(share {decimal_text(share.share_minor, places)} "
        f"- withheld {decimal_text(share.withheld_minor, places)})"
        for share in shares
    ]


if TYPE_CHECKING:
    from collections.abc import Callable

    _Text = Callable[[int], str]
