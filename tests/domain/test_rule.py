"""Settlement rules: which can be, and which is in force."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from consignment.domain.errors import InvalidValue
from consignment.domain.rule import (
    Amount,
    Band,
    Basis,
    Deduction,
    DeductionKind,
    Ladder,
    LadderMethod,
    Percent,
    PerUnit,
    RuleSet,
    SettlementRule,
    Share,
    Withholding,
)
from consignment.testing.builders import a_rule

if TYPE_CHECKING:
    from collections.abc import Callable

_BANDS = (Band("0", "3"), Band("10000.00", "5"), Band("50000", "8"))


def _codes(work: Callable[[], object]) -> list[str]:
    with pytest.raises(InvalidValue) as caught:
        work()
    return list(caught.value.codes)


# Parts.


@pytest.mark.parametrize(
    ("work", "code"),
    [
        (lambda: Percent(percent="1", minimum="2", cap="1.99"), "minimum_above_cap"),
        (lambda: Percent(percent="1", minimum="-1"), "amount_negative"),
        (lambda: Percent(percent="1", cap="-0.01"), "amount_negative"),
        (lambda: Percent(percent="101"), "percent_out_of_range"),
        (lambda: Percent(percent=1.5), "number_invalid"),
        (lambda: PerUnit(value="-0.0001"), "amount_negative"),
        (lambda: PerUnit(value="1", minimum="2", cap="1"), "minimum_above_cap"),
        (lambda: Ladder(method="marginal", bands=()), "ladder_must_start_at_zero"),
        (lambda: Ladder(method="marginal", bands=_BANDS[1:]), "ladder_must_start_at_zero"),
        (
            lambda: Ladder(method="marginal", bands=(*_BANDS, Band("50000.00", "9"))),
            "ladder_not_ascending",
        ),
        (
            lambda: Ladder(method="marginal", bands=(_BANDS[0], _BANDS[2], _BANDS[1])),
            "ladder_not_ascending",
        ),
        (
            lambda: Ladder(method="marginal", bands=_BANDS, minimum="9", cap="1"),
            "minimum_above_cap",
        ),
        (lambda: Deduction("", "reported"), "deduction_name_invalid"),
        (lambda: Deduction("x" * 65, "reported"), "deduction_name_invalid"),
        (lambda: Deduction("a", "reported", "1"), "deduction_percent"),
        (lambda: Deduction("a", "percent_of_net_sales"), "deduction_percent"),
        (lambda: Withholding(" ", "0", "20"), "withholding_name_invalid"),
        (lambda: Withholding("tax", "-1", "20"), "amount_negative"),
        (lambda: Withholding("tax", "0", "120"), "percent_out_of_range"),
        (lambda: Withholding("tax", "0", Fraction(6, 5)), "percent_out_of_range"),
        (lambda: Percent(percent=Fraction(-1, 5)), "percent_out_of_range"),
        (lambda: Share("bank", "-1"), "weight_negative"),
        (lambda: Share("bank", 0.5), "number_invalid"),
        (lambda: Share("nobody", "1"), "beneficiary_unknown"),
        (lambda: Share("partner:x", "1"), "beneficiary_unknown"),
        (lambda: Share("sales_partner:", "1"), "beneficiary_unknown"),
        (lambda: Share("sales_partner:a b", "1"), "beneficiary_unknown"),
    ],
)
def test_parts_that_cannot_be_are_refused(work: Callable[[], object], code: str) -> None:
    """Each fault of a part has its code."""
    assert _codes(work) == [code]


def test_unknown_words_are_refused() -> None:
    """Bases, kinds and methods are those that there are."""
    for work in (
        lambda: a_rule(basis="turnover"),
        lambda: Deduction("a", "guessed"),
        lambda: Ladder(method="steps", bands=_BANDS),
    ):
        with pytest.raises(ValueError, match="is not a valid"):
            work()


def test_equal_minimum_and_cap_are_possible() -> None:
    """A minimum that is the cap fixes the amount."""
    assert Percent(percent="1", minimum="5", cap="5.00").in_main_unit() == [
        ("minimum", Decimal(5)),
        ("cap", Decimal("5.00")),
    ]


# What turns the base into the pool.


def _form(amount: Amount, base: int, units: int = 0) -> Fraction:
    return amount.form(Fraction(base), Fraction(units), 100)


def test_amounts_are_formed_exactly() -> None:
    """Percentages and amounts per unit are fractions until they are rounded."""
    assert _form(Percent(percent="12.5"), 333) == Fraction(333, 8)
    assert _form(PerUnit(value="0.12345"), 10**9, 7) == Fraction(12345 * 7, 1000)
    assert Percent(percent="12.5").formula == "12.5 % of the base"
    assert PerUnit(value="0.5").formula == "0.5 for each unit net sold"


def test_a_ladder_by_hand() -> None:
    """Each band's start is in the band; marginal and whole amount differ beyond the first."""
    marginal = Ladder(method="marginal", bands=_BANDS)
    whole = Ladder(method=LadderMethod.WHOLE_AMOUNT, bands=_BANDS)
    for base, by_part, by_whole in (
        (0, 0, 0),
        (999_999, 29_999_97, 29_999_97),
        (1_000_000, 30_000_00, 50_000_00),
        (5_000_000, 230_000_00, 400_000_00),
        (5_000_100, 230_008_00, 400_008_00),
    ):
        assert _form(marginal, base) == Fraction(by_part, 100)
        assert _form(whole, base) == Fraction(by_whole, 100)
    assert whole.formula == (
        "ladder, whole_amount (from 0: 3 %, from 10000.00: 5 %, from 50000: 8 %)"
    )
    assert [name for name, _ in whole.in_main_unit()] == ["from"] * 3


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_marginal_ladder_has_no_steps_down(one: int, other: int) -> None:
    """More base never gives less, and no more than the highest percentage of the difference."""
    ladder = Ladder(method="marginal", bands=_BANDS)
    low, high = sorted((one, other))
    difference = _form(ladder, high) - _form(ladder, low)
    assert 0 <= difference <= Fraction(8, 100) * (high - low)


def test_an_amount_by_itself_forms_nothing() -> None:
    """What turns the base into the pool is one of the kinds of amount."""
    with pytest.raises(NotImplementedError):
        _form(Amount(), 1)
    with pytest.raises(NotImplementedError):
        _ = Amount().formula


# Whole rules.


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"rule_id": "a b"}, ["id_invalid"]),
        ({"currency": "RMB"}, ["currency_unknown"]),
        ({"version": 0}, ["version_invalid"]),
        ({"version": 2**31}, ["version_invalid"]),
        ({"version": True}, ["version_invalid"]),
        ({"version": "1"}, ["version_invalid"]),
        ({"scope": ""}, ["scope_invalid"]),
        ({"scope": "all:x"}, ["scope_invalid"]),
        ({"scope": "partner:a b"}, ["scope_invalid"]),
        ({"scope": "product: x"}, ["scope_invalid"]),
        ({"scope": "business_line:"}, ["scope_invalid"]),
        ({"shares": ()}, ["shares_empty"]),
        ({"shares": [Share("bank", "0"), Share("partner", "0")]}, ["weights_zero"]),
        ({"shares": [Share("bank", "1"), Share("bank", "2")]}, ["beneficiary_repeated"]),
        (
            {"deductions": [Deduction("a", "reported"), Deduction("a", "reported")]},
            ["deduction_repeated"],
        ),
        ({"amount": Percent(percent="1", minimum="0.001")}, ["too_many_places"]),
        ({"amount": Percent(percent="1", cap="1.5"), "currency": "JPY"}, ["too_many_places"]),
        ({"amount": Percent(percent="1", cap="10000000000000.01")}, ["amount_too_large"]),
        (
            {"amount": Ladder(method="marginal", bands=(*_BANDS, Band("60000.001", "9")))},
            ["too_many_places"],
        ),
        (
            {"shares": [Share("bank", "1", Withholding("tax", "0.001", "20"))]},
            ["too_many_places"],
        ),
    ],
)
def test_rules_that_cannot_be_are_refused(changes: dict[str, Any], codes: list[str]) -> None:
    """Each fault of a rule has its code."""
    assert _codes(lambda: a_rule(**changes)) == codes


def test_every_fault_of_a_rule_is_named() -> None:
    """The first fault does not hide the others."""
    assert _codes(
        lambda: a_rule(
            version=-1,
            scope="x",
            shares=[Share("bank", "0"), Share("bank", "0")],
            amount=Percent(percent="1", minimum="0.001", cap="0.009"),
        )
    ) == [
        "version_invalid",
        "scope_invalid",
        "weights_zero",
        "beneficiary_repeated",
        "too_many_places",
        "too_many_places",
    ]


def test_amounts_per_unit_may_be_finer_than_money() -> None:
    """A value per unit is no amount of money until it is multiplied."""
    rule = a_rule(amount=PerUnit(value="0.00001"))
    assert rule.names_money
    assert a_rule(amount=Percent(percent="1", cap="1")).names_money
    assert a_rule(shares=[Share("bank", "1", Withholding("tax", "1", "1"))]).names_money
    assert not a_rule(amount=Percent(percent="1")).names_money
    assert not a_rule().names_money


def test_a_rule_names_the_other_sales_partners() -> None:
    """Beneficiaries that are named by id have to be known to the bank."""
    shares = [Share(each, "1") for each in ("sales_partner", "sales_partner:a", "bank")]
    assert a_rule(shares=shares).other_sales_partners == ("a",)


def test_a_rules_digest_tells_contents_apart() -> None:
    """Every part of a rule counts."""
    deduction = Deduction("a", DeductionKind.PERCENT_OF_NET_SALES, "1")
    rules = [
        a_rule(),
        a_rule("other"),
        a_rule(version=2),
        a_rule(effective_from=date(2026, 1, 2)),
        a_rule(scope="partner:x"),
        a_rule(basis=Basis.SALES),
        a_rule(currency="JPY"),
        a_rule(deductions=[deduction]),
        a_rule(deductions=[evolve(deduction, percent="2")]),
        a_rule(amount=Percent(percent="1")),
        a_rule(amount=Percent(percent="1", cap="1")),
        a_rule(amount=Ladder(method="marginal", bands=_BANDS)),
        a_rule(amount=Ladder(method="whole_amount", bands=_BANDS)),
        a_rule(shares=[Share("bank", "1")]),
        a_rule(shares=[Share("bank", "2")]),
        a_rule(shares=[Share("bank", "1", Withholding("tax", "1", "1"))]),
    ]
    assert len({rule.digest() for rule in rules}) == len(rules)
    assert a_rule().digest() == a_rule().digest()


# Which rule is in force.

_DAY = date(2026, 9, 1)


def _select(*rules: SettlementRule, day: date = _DAY) -> SettlementRule | None:
    known = RuleSet.of(rules)
    assert RuleSet.of(known) is known
    assert set(known) == set(rules)
    return known.in_force(product_number="P", partner_id="farm", business_line="retail", day=day)


def test_the_most_specific_scope_wins() -> None:
    """Product before partner before business line before all, whatever the version or day."""
    rules = [
        a_rule("a", 9, scope="all", effective_from=_DAY),
        a_rule("b", 5, scope="business_line:retail", effective_from=_DAY - timedelta(days=1)),
        a_rule("c", 2, scope="partner:farm", effective_from=_DAY - timedelta(days=2)),
        a_rule("d", 1, scope="product:P", effective_from=_DAY - timedelta(days=3)),
    ]
    for i in range(4, 0, -1):
        assert _select(*reversed(rules[:i])) is rules[i - 1]
    elsewhere = [a_rule(scope=f"{kind}:other") for kind in ("product", "partner", "business_line")]
    assert _select(*elsewhere) is None
    assert _select() is None


def test_within_a_scope_the_latest_in_force_wins() -> None:
    """The last to come into effect by the day, then the higher version; later ones not yet."""
    old, first, second, later = (
        a_rule("a", 7, effective_from=_DAY - timedelta(days=9)),
        a_rule("a", 1, effective_from=_DAY),
        a_rule("a", 2, effective_from=_DAY),
        a_rule("a", 8, effective_from=_DAY + timedelta(days=1)),
    )
    assert _select(second, later, old, first) is second
    assert _select(old, first, second, later, day=_DAY - timedelta(days=1)) is old
    assert _select(old, first, second, later, day=_DAY + timedelta(days=1)) is later
    assert _select(old, later, day=_DAY - timedelta(days=10)) is None
