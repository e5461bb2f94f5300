"""Settlement rules: how profit is computed and shared. Immutable, versioned by effective date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from attrs import field, frozen

from consignment.domain.digest import content_digest
from consignment.domain.errors import InvalidValue, Reason, reason
from consignment.domain.money import (
    MAX_MINOR,
    minor_places,
    parse_decimal,
    parse_percent,
    percent_text,
    scaled,
)
from consignment.domain.text import check_id, id_fault, text_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Amount",
    "Band",
    "Basis",
    "Deduction",
    "DeductionKind",
    "Ladder",
    "LadderMethod",
    "PerUnit",
    "Percent",
    "RuleSet",
    "SettlementRule",
    "Share",
    "Withholding",
]


class Basis(StrEnum):
    """What the pool is formed from, before deductions.

    `profit`: net sales − cost of goods. `sales`: net sales. `spread`: net sales − agreed price ×
    net sold.
    """

    PROFIT = "profit"
    SALES = "sales"
    SPREAD = "spread"


class DeductionKind(StrEnum):
    """Where a deduction's amount comes from."""

    REPORTED = "reported"
    PERCENT_OF_NET_SALES = "percent_of_net_sales"


def _optional_decimal(value: object) -> Decimal | None:
    return None if value is None else parse_decimal(value)


def _optional_percent(value: object) -> Fraction | None:
    return None if value is None else _percent(value)


def _percent(value: object) -> Fraction:
    if not isinstance(value, Fraction):
        return parse_percent(value)
    if not 0 <= value <= 1:
        raise InvalidValue(reason("percent_out_of_range", value=f"{value} of the whole"[:64]))
    return value


@frozen
class Deduction:
    """Something that is taken off before the pool is formed.

    `reported`: the total that the partner reported under this name. `percent_of_net_sales`: a
    percentage, rounded half-up to the minor unit.
    """

    name: str
    kind: DeductionKind = field(converter=DeductionKind)
    percent: Fraction | None = field(default=None, converter=_optional_percent)

    def __attrs_post_init__(self) -> None:
        if text_fault(self.name, 64):
            raise InvalidValue(reason("deduction_name_invalid", name=str(self.name)[:80]))
        if (self.percent is not None) != (self.kind is DeductionKind.PERCENT_OF_NET_SALES):
            raise InvalidValue(reason("deduction_percent", name=self.name, kind=self.kind.value))


@frozen(kw_only=True)
class Amount:
    """What turns the base into the pool, with an optional minimum and cap in the main unit."""

    minimum: Decimal | None = field(default=None, converter=_optional_decimal)
    cap: Decimal | None = field(default=None, converter=_optional_decimal)

    def __attrs_post_init__(self) -> None:
        if self.minimum is not None and self.cap is not None and self.minimum > self.cap:
            raise InvalidValue(
                reason("minimum_above_cap", minimum=str(self.minimum), cap=str(self.cap))
            )
        for name, value in (("minimum", self.minimum), ("cap", self.cap)):
            if value is not None and value < 0:
                raise InvalidValue(reason("amount_negative", field=name, value=str(value)))

    def form(self, base: Fraction, units_net_sold: Fraction, minor_unit: int) -> Fraction:
        """Form the pool in minor units, exactly, from a non-negative base in minor units."""
        raise NotImplementedError

    @property
    def formula(self) -> str:
        """Tell the formula in words."""
        raise NotImplementedError

    def in_main_unit(self) -> list[tuple[str, Decimal]]:
        """Name the amounts of money in it, which must fit the rule's currency."""
        pairs = [("minimum", self.minimum), ("cap", self.cap)]
        return [(name, value) for name, value in pairs if value is not None]

    def content(self) -> list[object]:
        """Give it as plain content."""
        return [self.formula, self.minimum, self.cap]


@frozen(kw_only=True)
class Percent(Amount):
    """A percentage of the base."""

    percent: Fraction = field(converter=_percent)

    def form(self, base: Fraction, units_net_sold: Fraction, minor_unit: int) -> Fraction:  # noqa: ARG002 - one signature
        """Form the percentage of the base."""
        return base * self.percent

    @property
    def formula(self) -> str:
        """Tell the formula in words."""
        return f"{percent_text(self.percent)} % of the base"


@frozen(kw_only=True)
class PerUnit(Amount):
    """A fixed amount for each whole unit net sold; it may be finer than the minor unit."""

    value: Decimal = field(converter=parse_decimal)

    def __attrs_post_init__(self) -> None:
        Amount.__attrs_post_init__(self)
        if self.value < 0:
            raise InvalidValue(reason("amount_negative", field="value", value=str(self.value)))

    def form(self, base: Fraction, units_net_sold: Fraction, minor_unit: int) -> Fraction:  # noqa: ARG002 - one signature
        """Form value × units net sold."""
        return Fraction(self.value) * minor_unit * units_net_sold

    @property
    def formula(self) -> str:
        """Tell the formula in words."""
        return f"{self.value} for each unit net sold"


class LadderMethod(StrEnum):
    """`marginal`: each band's percentage on the part in it; `whole_amount`: the reached band's."""

    MARGINAL = "marginal"
    WHOLE_AMOUNT = "whole_amount"


@frozen
class Band:
    """A step of a ladder: from this base on (included, in the main unit), this percentage."""

    start: Decimal = field(converter=parse_decimal)
    percent: Fraction = field(converter=_percent)


@frozen(kw_only=True)
class Ladder(Amount):
    """Percentages that depend on how much the base is."""

    method: LadderMethod = field(converter=LadderMethod)
    bands: tuple[Band, ...] = field(converter=tuple[Band, ...])

    def __attrs_post_init__(self) -> None:
        Amount.__attrs_post_init__(self)
        if not self.bands or self.bands[0].start != 0:
            raise InvalidValue(reason("ladder_must_start_at_zero"))
        for lower, upper in pairwise(self.bands):
            if upper.start <= lower.start:
                raise InvalidValue(
                    reason("ladder_not_ascending", start=str(upper.start), after=str(lower.start))
                )

    def form(self, base: Fraction, units_net_sold: Fraction, minor_unit: int) -> Fraction:  # noqa: ARG002 - one signature
        """Form the sum over the bands, or the reached band's percentage of the whole."""
        starts = [Fraction(band.start) * minor_unit for band in self.bands]
        reached = [i for i, start in enumerate(starts) if start <= base]
        if self.method is LadderMethod.WHOLE_AMOUNT:
            return base * self.bands[reached[-1]].percent
        ends = [*starts[1:], base]
        return sum(
            ((min(base, ends[i]) - starts[i]) * self.bands[i].percent for i in reached),
            Fraction(0),
        )

    @property
    def formula(self) -> str:
        """Tell the formula in words."""
        steps = ", ".join(
            f"from {band.start}: {percent_text(band.percent)} %" for band in self.bands
        )
        return f"ladder, {self.method.value} ({steps})"

    def in_main_unit(self) -> list[tuple[str, Decimal]]:
        """Name the amounts of money in it."""
        return [*Amount.in_main_unit(self), *(("from", band.start) for band in self.bands)]


@frozen
class Withholding:
    """A percentage of what of a share exceeds a threshold, kept back (a tax, for example)."""

    name: str
    threshold: Decimal = field(converter=parse_decimal)
    percent: Fraction = field(converter=_percent)

    def __attrs_post_init__(self) -> None:
        if text_fault(self.name, 64):
            raise InvalidValue(reason("withholding_name_invalid", name=str(self.name)[:80]))
        if self.threshold < 0:
            raise InvalidValue(
                reason("amount_negative", field="threshold", value=str(self.threshold))
            )


def _weight(value: object) -> Fraction:
    weight = value if isinstance(value, Fraction) else Fraction(parse_decimal(value))
    if weight < 0:
        raise InvalidValue(reason("weight_negative", weight=str(value)[:64]))
    return weight


@frozen
class Share:
    """Who gets which part of the pool.

    `beneficiary` is `sales_partner` (the order's), `partner` (who keeps it: it holds the money),
    `bank`, or `sales_partner:ID` for another one that is known to the bank.
    """

    beneficiary: str
    weight: Fraction = field(converter=_weight)
    withholding: Withholding | None = None

    def __attrs_post_init__(self) -> None:
        kind, _, name = self.beneficiary.partition(":")
        if self.beneficiary in {"sales_partner", "partner", "bank"}:
            return
        if kind != "sales_partner" or id_fault(name):
            raise InvalidValue(
                reason("beneficiary_unknown", beneficiary=str(self.beneficiary)[:80])
            )


_MAX_NUMBER = 64


@frozen(kw_only=True)
class SettlementRule:
    """How profit is computed and shared: one immutable version.

    It holds for orders placed on or after the day `effective_from` (bank's time zone), in its
    scope: `all`, `business_line:X`, `partner:ID` or `product:NUMBER`. Amounts in it are in the
    main unit of `currency`.

    Raises `InvalidValue` with every fault: `scope_invalid`, `version_invalid`, `shares_empty`,
    `weights_zero`, `beneficiary_repeated`, `deduction_repeated`, `currency_unknown`,
    `too_many_places`; the parts raise their own (`minimum_above_cap`, …).
    """

    rule_id: str
    version: int
    effective_from: date
    scope: str
    basis: Basis = field(converter=Basis)
    deductions: tuple[Deduction, ...] = field(default=(), converter=tuple[Deduction, ...])
    amount: Amount | None = None
    shares: tuple[Share, ...] = field(converter=tuple[Share, ...])
    currency: str = "CNY"

    def __attrs_post_init__(self) -> None:
        check_id(self.rule_id, "rule_id")
        places = minor_places(self.currency)
        faults: list[Reason] = []
        if type(self.version) is not int or not 1 <= self.version <= 2**31 - 1:
            faults.append(reason("version_invalid", version=str(self.version)[:32]))
        kind, _, name = self.scope.partition(":")
        if not (
            self.scope == "all"
            or (kind in {"business_line", "partner"} and not id_fault(name))
            or (kind == "product" and not text_fault(name, _MAX_NUMBER))
        ):
            faults.append(reason("scope_invalid", scope=self.scope[:80]))
        if not self.shares:
            faults.append(reason("shares_empty", rule_id=self.rule_id))
        elif not any(share.weight for share in self.shares):
            faults.append(reason("weights_zero", rule_id=self.rule_id))
        for code, names in (
            ("beneficiary_repeated", [share.beneficiary for share in self.shares]),
            ("deduction_repeated", [deduction.name for deduction in self.deductions]),
        ):
            repeated = [name for name, times in Counter(names).items() if times > 1]
            faults += [reason(code, name=name) for name in repeated]
        for name, value in self._amounts():
            if scaled(value, places) is None:
                code = (
                    "amount_too_large" if abs(value) * 10**places > MAX_MINOR else "too_many_places"
                )
                faults.append(reason(code, field=name, value=str(value), currency=self.currency))
        if faults:
            raise InvalidValue(faults)

    def _amounts(self) -> list[tuple[str, Decimal]]:
        amounts = [] if self.amount is None else self.amount.in_main_unit()
        return [
            *amounts,
            *(
                ("threshold", share.withholding.threshold)
                for share in self.shares
                if share.withholding is not None
            ),
        ]

    @property
    def names_money(self) -> bool:
        """Tell whether the rule has amounts, so that it fits only orders in its currency."""
        return bool(self._amounts()) or isinstance(self.amount, PerUnit)

    @property
    def other_sales_partners(self) -> tuple[str, ...]:
        """The ids of sales partners that get a share whatever the order."""
        return tuple(
            share.beneficiary.partition(":")[2]
            for share in self.shares
            if share.beneficiary.startswith("sales_partner:")
        )

    def digest(self) -> str:
        """Give the digest of the rule's content."""
        return content_digest(
            self.rule_id,
            self.version,
            self.effective_from,
            self.scope,
            self.basis.value,
            [[d.name, d.kind.value, d.percent] for d in self.deductions],
            None if self.amount is None else self.amount.content(),
            [
                [
                    s.beneficiary,
                    s.weight,
                    None
                    if s.withholding is None
                    else [s.withholding.name, s.withholding.threshold, s.withholding.percent],
                ]
                for s in self.shares
            ],
            self.currency,
        )


class RuleSet(Iterable[SettlementRule]):
    """Some rules, ordered so that the one in force is found quickly, however many there are."""

    def __init__(self, rules: Iterable[SettlementRule]) -> None:
        self._by_scope: dict[str, list[SettlementRule]] = {}
        for rule in rules:
            self._by_scope.setdefault(rule.scope, []).append(rule)
        for of_scope in self._by_scope.values():
            of_scope.sort(
                key=lambda rule: (rule.effective_from, rule.version, rule.rule_id), reverse=True
            )

    @classmethod
    def of(cls, rules: Iterable[SettlementRule]) -> RuleSet:
        """Give the rules as a set; a set as it is."""
        return rules if isinstance(rules, RuleSet) else cls(rules)

    def __iter__(self) -> Iterator[SettlementRule]:
        for of_scope in self._by_scope.values():
            yield from of_scope

    def in_force(
        self, *, product_number: str, partner_id: str, business_line: str, day: date
    ) -> SettlementRule | None:
        """Find the rule in force on the day of an order's placing; the most specific scope wins.

        Within a scope it is the one that came into effect last, then the higher version.
        """
        for scope in (
            f"product:{product_number}",
            f"partner:{partner_id}",
            f"business_line:{business_line}",
            "all",
        ):
            for rule in self._by_scope.get(scope, ()):
                if rule.effective_from <= day:
                    return rule
        return None
