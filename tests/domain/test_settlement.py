"""Profit, to the cent."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import localcontext
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from consignment.domain.errors import Refused
from consignment.domain.money import Money, minor_places
from consignment.domain.order import OrderLine, OrderState, PurchaseOrder
from consignment.domain.rule import (
    Band,
    Basis,
    Deduction,
    Ladder,
    Percent,
    PerUnit,
    SettlementRule,
    Share,
    Withholding,
)
from consignment.domain.settlement import CreditState, Settlement, compute, pool_of
from consignment.testing.builders import NOW, TODAY, a_line, a_rule, a_settlement, an_order

if TYPE_CHECKING:
    from decimal import Decimal

_ROOT = Path(__file__).parent.parent.parent


def _json(path: str) -> Any:  # noqa: ANN401 - JSON of any shape
    return json.loads((_ROOT / path).read_text(encoding="utf-8"))


def _sold_line(
    number: str = "APPLE",
    *,
    net: int = 10,
    sales: int = 68800,
    cost: int = 49500,
    **changes: Any,  # noqa: ANN401 - any field of a line
) -> OrderLine:
    """Make a line of which everything was sold, for amounts in minor units."""
    return a_line(
        number,
        net,
        procured=net,
        sold=net,
        gross_sales_minor=sales,
        procurement_cost_minor=cost,
        delivery_final=True,
        **changes,
    )


def _order(
    *lines: OrderLine,
    **changes: Any,  # noqa: ANN401 - any field of an order
) -> PurchaseOrder:
    lines = lines or (_sold_line(),)
    return an_order("D-1", "green-farm", *lines, state=OrderState.COMPLETED, **changes)


def _settle(order: PurchaseOrder, *rules: SettlementRule, sequence: int = 1) -> Settlement:
    return compute(order, rules, placed_on=TODAY, settled_at=NOW, sequence=sequence)


def _shares(settlement: Settlement) -> dict[str, int]:
    return {share.beneficiary: share.share_minor for share in settlement.shares}


_ALL_TO_BANK = (Share("bank", "1"),)


# The example.


def test_aksu_by_hand() -> None:
    """The order of the example, with every figure worked out by hand."""
    # Cost: 120 x 49.50 - 7 x 49.50, 200 x 26.35 - 5 x 26.35, 147 x 31.28 - 2 x 31.28.
    apple = a_line(
        "AKS-APPLE-5KG",
        120,
        price_minor=6880,
        procured=120,
        sold=115,
        returned=2,
        sent_back=7,
        procurement_cost_minor=594_000,
        sent_back_credit_minor=34_650,
        gross_sales_minor=791_200,
        returns_minor=13_760,
    )
    jujube = a_line(
        "AKS-JUJUBE-1KG",
        200,
        price_minor=3990,
        procured=200,
        sold=195,
        sent_back=5,
        procurement_cost_minor=527_000,
        sent_back_credit_minor=13_175,
        gross_sales_minor=778_050,
    )
    walnut = a_line(
        "AKS-WALNUT-1KG",
        150,
        price_minor=4560,
        procured=147,
        sold=145,
        sent_back=2,
        procurement_cost_minor=459_816,
        sent_back_credit_minor=6_256,
        gross_sales_minor=130 * 4560 + 15 * 4104,
    )
    order = an_order(
        "DM-2026-0901",
        "aksu-luyuan",
        apple,
        jujube,
        walnut,
        state=OrderState.COMPLETED,
        expenses=(("freight", 48_015),),
    )
    plain = _json("examples/aksu/rule.json")
    rule = SettlementRule(
        rule_id=plain["rule_id"],
        version=plain["version"],
        effective_from=date.fromisoformat(plain["effective_from"]),
        scope=plain["scope"],
        basis=plain["basis"],
        deductions=[Deduction(**each) for each in plain["deductions"]],
        shares=[
            Share(
                each["beneficiary"],
                each["weight"],
                Withholding(**each["withholding"]) if "withholding" in each else None,
            )
            for each in plain["shares"]
        ],
    )
    settlement = _settle(order, rule)
    expected = _json("examples/aksu/expected.json")["settlement"]
    assert str(settlement.net_sales) == expected["net_sales"] == "22098.50"
    assert str(settlement.cost_of_goods) == expected["cost_of_goods"] == "15267.35"
    deductions = {name: str(Money(minor, "CNY")) for name, minor in settlement.deductions}
    # 0.6 % of 22,098.50 is 132.591.
    assert deductions == expected["deductions"] == {"freight": "480.15", "platform": "132.59"}
    assert str(settlement.pool) == expected["pool"] == "6218.41"
    for share in settlement.shares:
        told = expected["shares"][share.beneficiary]
        assert str(Money(share.share_minor, "CNY")) == told["share"]
        assert str(Money(share.withheld_minor, "CNY")) == told["withheld"]
        paid = told["kept"] if share.beneficiary == "partner" else told["credited"]
        assert str(Money(share.payable_minor, "CNY")) == paid
    # 45 % of 6,218.41 is 2,798.2845, 35 % 2,176.4435, 20 % 1,243.682: one cent is left over, for
    # the largest remainder. 20 % of what exceeds 800 of 2,798.29 is 399.658.
    assert [share.share_minor for share in settlement.shares] == [279_829, 217_644, 124_368]
    assert settlement.shares[0].withheld_minor == 39_966
    assert str(settlement.credited_total) == expected["credited_total"] == "3642.31"
    assert settlement.loss == Money(0, "CNY")


def test_aksu_explains_itself() -> None:
    """The explanation has inputs, the rule's version, each step and its rounding."""
    line = _sold_line(sales=2_209_850, cost=1_526_735)
    rule = a_rule(
        deductions=[
            Deduction("freight", "reported"),
            Deduction("p", "percent_of_net_sales", "0.6"),
        ],
        shares=[
            Share("sales_partner", "45", Withholding("income_tax", "800.00", "20")),
            Share("partner", "35"),
            Share("bank", "20"),
        ],
    )
    order = _order(line, expenses=(("freight", 48_015), ("lunch", 999)))
    assert list(_settle(order, rule).explanation) == [
        "order D-1:green-farm, settlement 1, all amounts in CNY",
        "rule profit version 1, scope all, effective from 2026-01-01, basis profit",
        (
            "  APPLE: net sold 10, sales 22098.50 - returns 0.00 = net sales 22098.50; "
            "procured for 15267.35 - sent back 0.00 = cost of goods 15267.35"
        ),
        "net sales 22098.50, cost of goods 15267.35",
        "base (profit): net sales 22098.50 - cost of goods 15267.35 = 6831.15",
        "deduction freight (reported): 480.15",
        "deduction p: 0.6 % of net sales 22098.50 = 132.59 (half-up)",
        "reported lunch 9.99 is not deducted by this rule",
        "base after deductions: 6218.41",
        "pool: the whole base = 6218.41",
        "share of sales_partner: 6218.41 x 45/100 = 2798.29 (largest remainder)",
        "withheld as income_tax: 20 % of what exceeds 800.00 = 399.66 (half-up)",
        "share of partner: 6218.41 x 35/100 = 2176.44 (largest remainder)",
        "share of bank: 6218.41 x 20/100 = 1243.68 (largest remainder)",
        "sales_partner is credited 2398.63 (share 2798.29 - withheld 399.66)",
        "partner keeps 2176.44 (share 2176.44 - withheld 0.00)",
        "bank is credited 1243.68 (share 1243.68 - withheld 0.00)",
    ]


# The ladder.


@pytest.mark.parametrize("method", ["marginal", "whole_amount"])
@pytest.mark.parametrize("case", _json("tests/scenarios/ladder.json")["cases"])
def test_the_ladder_to_the_cent(method: str, case: dict[str, Any]) -> None:
    """Every case of the ladder, computed and due, by both methods."""
    scenario = _json("tests/scenarios/ladder.json")
    bands = tuple(Band(each["from"], each["percent"]) for each in scenario["bands"])
    bare = Ladder(method=method, bands=bands)
    bounded = Ladder(method=method, bands=bands, minimum=scenario["minimum"], cap=scenario["cap"])
    sales = Money.of(case["net_sales"], "CNY").minor
    order = _order(_sold_line(sales=sales))
    for amount, expected in ((bare, case[method]["computed"]), (bounded, case[method]["due"])):
        rule = a_rule(basis="sales", amount=amount, shares=_ALL_TO_BANK)
        settlement = _settle(order, rule)
        assert str(settlement.pool) == expected
        assert _shares(settlement) == {"bank": settlement.pool_minor}


def test_the_ladder_says_what_bounded_it() -> None:
    """Raising to the minimum and lowering to the cap are told."""
    bands = (Band("0", "3"), Band("10000", "5"))
    amount = Ladder(method="marginal", bands=bands, minimum="600", cap="5000.00")
    rule = a_rule(basis="sales", amount=amount)
    told: list[str] = []
    assert pool_of(rule, 876_543, Fraction(0), "CNY", told) == 60_000
    assert told == [
        "pool: ladder, marginal (from 0: 3 %, from 10000: 5 %) = 262.96 (half-up)",
        "raised to the minimum 600",
    ]
    told.clear()
    assert pool_of(rule, 20_000_000, Fraction(0), "CNY", told) == 500_000
    assert told[-1] == "lowered to the cap 5000.00"


# Bases and pools.


def test_each_basis_has_its_base() -> None:
    """Profit is sales less cost, sales is sales, spread is sales less the agreed value."""
    line = _sold_line(sales=68_805, cost=49_500, price_minor=5000)
    for basis, base in ((Basis.PROFIT, 19_305), (Basis.SALES, 68_805), (Basis.SPREAD, 18_805)):
        settlement = _settle(_order(line), a_rule(basis=basis))
        assert (settlement.base_minor, settlement.pool_minor) == (base, base)
    assert "base (spread): net sales 688.05 - agreed price x net sold 500.00 = 188.05" in (
        settlement.explanation
    )


def test_a_spread_values_what_was_sold_by_weight() -> None:
    """Agreed price times net sold, half-up: 1.001 kg at 3.33 is 3.33333."""
    line = _sold_line(net=1001, sales=1000, places=3, price_minor=333)
    assert _settle(_order(line), a_rule(basis="spread")).base_minor == 1000 - 333


def test_an_amount_per_unit_counts_whole_units() -> None:
    """2.5 kg at 0.333 each is 0.8325, half-up 0.83."""
    line = _sold_line(net=2500, places=3)
    settlement = _settle(_order(line), a_rule(amount=PerUnit(value="0.333")))
    assert settlement.pool_minor == 83
    assert "pool: 0.333 for each unit net sold = 0.83 (half-up)" in settlement.explanation


def test_a_percentage_is_rounded_once() -> None:
    """12.5 % of 1.00 is 12.5 cents: 13; the halves go up."""
    line = _sold_line(sales=100, cost=0)
    assert _settle(_order(line), a_rule(amount=Percent(percent="12.5"))).pool_minor == 13


def test_a_loss_is_shown_and_not_shared() -> None:
    """A negative base gives a pool of nothing, and says how much was lost."""
    settlement = _settle(_order(_sold_line(sales=40_000)), a_rule())
    assert (settlement.base_minor, settlement.pool_minor) == (-9_500, 0)
    assert settlement.loss == Money(9_500, "CNY")
    assert _shares(settlement) == {"sales_partner": 0, "partner": 0, "bank": 0}
    assert [share.state for share in settlement.shares] == [
        CreditState.NOTHING,
        CreditState.KEPT,
        CreditState.NOTHING,
    ]
    assert settlement.due == ()
    assert settlement.credited_total == Money(0, "CNY")
    assert "the base is negative: a loss of 95.00, not shared" in settlement.explanation


def test_a_loss_still_gives_the_minimum() -> None:
    """With a minimum, a negative base gives that; an amount per unit gives no more."""
    for amount in (Percent(percent="10", minimum="6"), PerUnit(value="9", minimum="6")):
        settlement = _settle(_order(_sold_line(sales=0)), a_rule(amount=amount))
        assert settlement.pool_minor == 600
        assert settlement.loss == Money(49_500, "CNY")


def test_deductions_are_taken_whatever_the_basis() -> None:
    """Percentages of net sales round half-up; a name nobody reported is nothing."""
    deductions = [
        Deduction("platform", "percent_of_net_sales", "0.5"),
        Deduction("freight", "reported"),
        Deduction("storage", "reported"),
    ]
    order = _order(_sold_line(sales=10_100, cost=0), expenses=(("freight", 7),))
    settlement = _settle(order, a_rule(basis="sales", deductions=deductions))
    # 0.5 % of 101.00 is 50.5 cents.
    assert settlement.deductions == (("platform", 51), ("freight", 7), ("storage", 0))
    assert settlement.base_minor == 10_100 - 58


def test_yen_have_no_cents() -> None:
    """Rounding and bounds are in the currency's own minor unit."""
    order = _order(_sold_line(sales=1005, cost=0), currency="JPY")
    rule = a_rule(amount=Percent(percent="10", cap="100"), currency="JPY")
    settlement = _settle(order, rule)
    # 100.5 is 101, lowered to 100.
    assert settlement.pool == Money(100, "JPY")
    assert "lowered to the cap 100" in settlement.explanation


# Shares.


def test_withholding_is_of_what_exceeds_the_threshold() -> None:
    """At the threshold nothing is withheld; above it the percentage, half-up."""
    for sales, withheld in ((80_000, 0), (80_001, 0), (80_003, 1), (100_000, 4_000), (0, 0)):
        shares = [Share("sales_partner", "1", Withholding("tax", "800.00", "20"))]
        settlement = _settle(_order(_sold_line(sales=sales, cost=0)), a_rule(shares=shares))
        (share,) = settlement.shares
        assert (share.withheld_minor, share.payable_minor) == (withheld, sales - withheld)


def test_each_beneficiary_has_its_account() -> None:
    """The order's sales partner and partner, the bank, and others by id."""
    shares = [
        Share("sales_partner", "1"),
        Share("partner", "1"),
        Share("bank", "1"),
        Share("sales_partner:sp-wang", "1"),
        Share("sales_partner:sp-zero", "0"),
    ]
    settlement = _settle(_order(), a_rule(shares=shares))
    assert [(share.account, share.state.value) for share in settlement.shares] == [
        ("sales_partner:sp-li", "due"),
        ("partner:green-farm", "kept"),
        ("bank", "due"),
        ("sales_partner:sp-wang", "due"),
        ("sales_partner:sp-zero", "nothing"),
    ]
    assert [share.beneficiary for share in settlement.due] == [
        "sales_partner",
        "bank",
        "sales_partner:sp-wang",
    ]
    keys = [settlement.credit_key(share) for share in settlement.due]
    assert keys[-1] == "D-1:green-farm:1:sales_partner:sp-wang"
    assert settlement.settlement_id == "D-1:green-farm:1"


def test_what_was_withheld_whole_is_not_credited() -> None:
    """A share of which all is withheld leaves nothing to credit."""
    shares = [Share("sales_partner", "1", Withholding("tax", "0", "100"))]
    (share,) = _settle(_order(), a_rule(shares=shares)).shares
    assert (share.payable_minor, share.state) == (0, CreditState.NOTHING)


def test_credited_total_counts_what_is_paid() -> None:
    """Due, credited and set aside count; what is kept does not."""
    settlement = a_settlement()
    assert settlement.credited_total == Money(6500, "CNY")
    states = (CreditState.CREDITED, CreditState.KEPT, CreditState.SET_ASIDE)
    shares = tuple(
        evolve(share, state=state) for share, state in zip(settlement.shares, states, strict=True)
    )
    assert evolve(settlement, shares=shares).credited_total == Money(6500, "CNY")


# Which rules apply.


def test_lines_are_settled_by_their_own_rules() -> None:
    """Lines under different rules are settled apart, and their shares put together."""
    order = _order(
        _sold_line("A", sales=30_000, cost=10_000),
        _sold_line("B", sales=10_000, cost=4_000),
        _sold_line("C", sales=10_000, cost=15_000),
        expenses=(("freight", 101),),
    )
    freight = [Deduction("freight", "reported")]
    general = a_rule("general", deductions=freight)
    special = a_rule(
        "special",
        3,
        scope="product:B",
        basis="sales",
        amount=Percent(percent="50"),
        deductions=[*freight, Deduction("fee", "percent_of_net_sales", "1")],
        shares=[Share("bank", "1", Withholding("tax", "0", "10")), Share("sales_partner:x", "1")],
    )
    settlement = _settle(order, general, special)
    assert settlement.rules == (("general", 1), ("special", 3))
    # Freight by net sales, 40,000 : 10,000 of 101 is 80.8 : 20.2.
    assert settlement.deductions == (("freight", 101), ("fee", 100))
    general_base = 40_000 - 25_000 - 81
    special_base = 10_000 - 20 - 100
    assert settlement.base_minor == general_base + special_base
    assert settlement.pool_minor == general_base + special_base // 2
    # 45 : 35 : 20 of 14,919 is 6,713.55, 5,221.65, 2,983.8: two left over, .8 and .65.
    assert _shares(settlement) == {
        "sales_partner": 6_713,
        "partner": 5_222,
        "bank": 2_984 + 2_470,
        "sales_partner:x": 2_470,
    }
    bank = settlement.shares[2]
    assert (bank.withheld_minor, bank.state) == (247, CreditState.DUE)
    assert "over all rules, bank is credited 52.07 (share 54.54 - withheld 2.47)" in (
        settlement.explanation
    )


def test_merged_shares_become_due_together() -> None:
    """A beneficiary with nothing under one rule and something under another is credited."""
    order = _order(_sold_line("A", sales=0), _sold_line("B", sales=60_000))
    rules = [a_rule("a", scope="product:A"), a_rule("b", scope="product:B")]
    settlement = _settle(order, *rules)
    assert settlement.loss == Money(39_000, "CNY")
    assert _shares(settlement) == {"sales_partner": 4_725, "partner": 3_675, "bank": 2_100}
    assert [share.state.value for share in settlement.shares] == ["due", "kept", "due"]


def test_expenses_without_sales_are_divided_evenly() -> None:
    """When nothing was sold, an expense is divided among the rules in equal parts."""
    deductions = [Deduction("freight", "reported")]
    order = _order(
        _sold_line("A", sales=0, cost=0),
        _sold_line("B", sales=0, cost=0),
        expenses=(("freight", 101),),
    )
    rules = [
        a_rule("a", scope="product:A", deductions=deductions),
        a_rule("b", scope="product:B", deductions=deductions),
    ]
    settlement = _settle(order, *rules)
    assert settlement.deductions == (("freight", 101),)
    assert "deduction freight (reported): 0.51" in settlement.explanation
    assert "deduction freight (reported): 0.50" in settlement.explanation


def test_every_line_without_a_rule_is_named() -> None:
    """An order of which some lines have no rule on its day is not settled."""
    order = _order(_sold_line("A"), _sold_line("B"), _sold_line("C"))
    rules = [
        a_rule(scope="product:B"),
        a_rule("late", effective_from=TODAY + timedelta(days=1)),
    ]
    with pytest.raises(Refused) as caught:
        _settle(order, *rules)
    assert [each.as_dict() for each in caught.value.reasons] == [
        {"code": "rule_missing", "order_id": "D-1:green-farm", "product_number": each}
        for each in ("A", "C")
    ]


def test_amounts_in_another_currency_do_not_fit() -> None:
    """A rule that names money fits orders in its currency; one that does not fits all."""
    order = _order(currency="JPY")
    with pytest.raises(Refused) as caught:
        _settle(order, a_rule(amount=Percent(percent="1", cap="1")))
    assert caught.value.reasons[0].as_dict() == {
        "code": "rule_currency_differs",
        "order_id": "D-1:green-farm",
        "rule_id": "profit",
        "rule_currency": "CNY",
        "order_currency": "JPY",
    }
    assert _settle(order, a_rule(amount=Percent(percent="1"))).currency == "JPY"


def test_whatever_keeps_an_order_from_being_settled_is_named() -> None:
    """A line without a rule, and one whose rule is in another currency, are told together."""
    order = _order(_sold_line("A"), _sold_line("B"))
    rule = a_rule(scope="product:A", amount=Percent(percent="1", cap="1"), currency="JPY")
    with pytest.raises(Refused) as caught:
        _settle(order, rule)
    assert caught.value.codes == ("rule_missing", "rule_currency_differs")


def test_a_pool_that_could_not_be_kept_is_refused() -> None:
    """An amount per unit can be beyond everything: the order is not settled, and says why."""
    order = _order(_sold_line("A", net=10))
    with pytest.raises(Refused) as caught:
        _settle(order, a_rule(amount=PerUnit(value="1" + "0" * 20)))
    assert [each.as_dict() for each in caught.value.reasons] == [
        {
            "code": "amount_too_large",
            "order_id": "D-1:green-farm",
            "field": "pool",
            "value": "1" + "0" * 21 + ".00",
            "currency": "CNY",
        }
    ]


# Whatever the figures.

_MINOR = st.integers(0, 10**9)
_LINES = st.lists(
    st.builds(
        lambda i, net, sales, cost: _sold_line("AB"[i], net=net, sales=sales, cost=cost),
        st.integers(0, 1),
        st.integers(0, 10**5),
        _MINOR,
        _MINOR,
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda line: line.product_number,
)
_AMOUNTS = st.one_of(
    st.none(),
    st.builds(lambda p: Percent(percent=p), st.decimals(0, 100, places=3)),
    st.builds(
        lambda p, low, more: Percent(percent=p, minimum=low, cap=low + more),
        st.integers(0, 100),
        st.decimals(0, 10**6, places=2),
        st.decimals(0, 10**6, places=2),
    ),
    st.builds(lambda v: PerUnit(value=v), st.decimals(0, 100, places=4)),
    st.sampled_from(["marginal", "whole_amount"]).map(
        lambda method: Ladder(method=method, bands=(Band("0", "3"), Band("1000", "50")))
    ),
)
_WEIGHTS = st.lists(st.integers(0, 99), min_size=1, max_size=4).filter(any)
_NAMES = ("sales_partner", "partner", "bank", "sales_partner:x")


@given(
    _LINES,
    _AMOUNTS,
    _WEIGHTS,
    st.sampled_from(Basis),
    st.dictionaries(st.sampled_from(["freight", "other"]), _MINOR),
    st.decimals(0, 100, places=2),
    st.booleans(),
)
def test_nothing_is_lost_or_made_up(  # noqa: PLR0917 - one for each strategy
    lines: list[OrderLine],
    amount: Any,  # noqa: ANN401 - None or any kind of amount
    weights: list[int],
    basis: Basis,
    expenses: dict[str, int],
    withheld: Decimal,
    apart: bool,  # noqa: FBT001 - drawn
) -> None:
    """Shares add up to the pool, nobody gets less than nothing, expenses are deducted once."""
    shares = [
        Share(name, weight, Withholding("tax", "1", withheld))
        for name, weight in zip(_NAMES, weights, strict=False)
    ]
    deductions = [Deduction("freight", "reported")]
    fields: dict[str, Any] = {
        "amount": amount,
        "basis": basis,
        "shares": shares,
        "deductions": deductions,
    }
    rules = [a_rule(**fields)]
    if apart:
        rules.append(a_rule("b", scope="product:B", **fields))
    order = _order(*lines, expenses=tuple(sorted(expenses.items())))
    settlement = _settle(order, *rules, sequence=2)
    assert sum(share.share_minor for share in settlement.shares) == settlement.pool_minor >= 0
    for share in settlement.shares:
        assert 0 <= share.withheld_minor <= share.share_minor
        assert (share.state is CreditState.DUE) == (
            share.beneficiary != "partner" and share.payable_minor > 0
        )
    assert dict(settlement.deductions)["freight"] == expenses.get("freight", 0)
    assert settlement.settlement_id.endswith(":2")
    assert minor_places(settlement.currency) == 2


def test_the_decimal_context_of_the_host_changes_no_figure() -> None:
    """A service that reckons with four digits gets the same cents."""
    share = Share("sales_partner", "1", Withholding("tax", "12345.67", "20"))
    rule = a_rule(
        basis="sales",
        amount=Percent(percent="1", minimum="23456.78", cap="34567.89"),
        shares=[share],
    )
    order = _order(_sold_line(sales=1_000_000, cost=0))
    usual = _settle(order, rule)
    with localcontext(prec=4):
        rough = _settle(order, rule)
    assert rough.pool_minor == usual.pool_minor == 2_345_678
    assert rough.shares == usual.shares
    assert usual.shares[0].withheld_minor == 222_222
