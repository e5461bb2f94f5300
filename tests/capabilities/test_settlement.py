from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from consignment.domain.errors import Conflict, NotFound, Refused
from consignment.domain.journal import FactKind
from consignment.domain.message import CreditInstruction
from consignment.domain.money import Money
from consignment.domain.order import OrderState
from consignment.domain.rule import (
    Basis,
    Deduction,
    DeductionKind,
    Percent,
    PerUnit,
    Share,
    Withholding,
)
from consignment.domain.settlement import CreditState
from consignment.testing import builders
from tests.capabilities.banks import ORDER, TO_FARM, TO_LI, Bank, reasons_of, row

if TYPE_CHECKING:
    from consignment.domain.settlement import Settlement

SP_LI = "sales_partner:sp-li"


@pytest.fixture
def sold_out(shop: Bank) -> Bank:
    """Make a shop whose order of ten boxes is completed: 688.00 sold for 495.00."""
    shop.place()
    shop.sell_out()
    return shop


def without_rules() -> Bank:
    """Make a shop with a completed order and no rule."""
    bank = Bank()
    bank.admit()
    bank.stock()
    bank.desk.sales_partners.add(builders.a_sales_partner())
    bank.place()
    bank.sell_out()
    return bank


def shares(settlement: Settlement) -> dict[str, tuple[int, int, CreditState]]:
    """Give the shares: in all, withheld, and what became of each."""
    return {
        each.beneficiary: (each.share_minor, each.withheld_minor, each.state)
        for each in settlement.shares
    }


# Rules.


def test_a_rule_version_is_added_once(shop: Bank) -> None:
    """The same version with the same content again changes nothing."""
    facts = shop.kinds()
    assert shop.desk.settlement.add_rule(builders.a_rule()) == builders.a_rule()
    assert shop.kinds() == facts


def test_a_rule_version_does_not_change(shop: Bank) -> None:
    """The same version with other content is a conflict."""
    with pytest.raises(Conflict) as refused:
        shop.desk.settlement.add_rule(builders.a_rule(basis=Basis.SALES))
    assert reasons_of(refused.value) == [
        {"code": "rule_conflict", "rule_id": "profit", "version": 1}
    ]


def test_two_rules_of_one_scope_and_day_are_ambiguous(shop: Bank) -> None:
    """Another rule needs another scope or day; a later version of the same rule does not."""
    with pytest.raises(Conflict) as refused:
        shop.desk.settlement.add_rule(builders.a_rule("other"))
    assert reasons_of(refused.value) == [
        {
            "code": "rule_ambiguous",
            "rule_id": "profit",
            "version": 1,
            "scope": "all",
            "effective_from": "2026-01-01",
        }
    ]
    shop.desk.settlement.add_rule(builders.a_rule(version=2))
    shop.desk.settlement.add_rule(builders.a_rule("other", scope="business_line:retail"))
    shop.desk.settlement.add_rule(builders.a_rule("another", effective_from=date(2026, 1, 2)))


def test_a_share_goes_to_a_known_sales_partner(shop: Bank) -> None:
    """A rule that names an unknown one is refused."""
    rule = builders.a_rule(
        "sp", scope="product:APPLE", shares=(Share("sales_partner:sp-wu", "1"), Share(SP_LI, "1"))
    )
    with pytest.raises(NotFound) as refused:
        shop.desk.settlement.add_rule(rule)
    assert reasons_of(refused.value) == [
        {"code": "sales_partner_unknown", "sales_partner_id": "sp-wu"}
    ]
    shop.desk.sales_partners.add(builders.a_sales_partner("sp-wu"))
    assert shop.desk.settlement.add_rule(rule) == rule


# Settling.


def test_a_completed_order_is_settled(sold_out: Bank) -> None:
    """The pool is shared, the shares are due, and everybody concerned is told."""
    settlement = sold_out.desk.settlement.settle(ORDER, actor="officer:li")
    assert (settlement.settlement_id, settlement.sequence) == (f"{ORDER}:1", 1)
    assert (str(settlement.net_sales), str(settlement.pool)) == ("688.00", "193.00")
    assert shares(settlement) == {
        "sales_partner": (8685, 0, CreditState.DUE),
        "partner": (6755, 0, CreditState.KEPT),
        "bank": (3860, 0, CreditState.DUE),
    }
    assert str(settlement.credited_total) == "125.45"
    assert sold_out.state() is OrderState.SETTLED
    instructions = [
        entry.intent for entry in sold_out.entries() if isinstance(entry.intent, CreditInstruction)
    ]
    assert [(each.key, each.beneficiary, str(each.amount)) for each in instructions] == [
        (f"{ORDER}:1:bank", "bank", "38.60"),
        (f"{ORDER}:1:sales_partner", SP_LI, "86.85"),
    ]
    assert {each.payer for each in instructions} == {"partner:green-farm"}
    assert [None if each.account is None else each.account.holder for each in instructions] == [
        None,
        "李明",
    ]
    facts = list(sold_out.desk.audit.facts(order_id=ORDER))
    assert (facts[-1].kind, facts[-1].actor) == (FactKind.ORDER_SETTLED, "officer:li")
    assert facts[-1].data == {
        "settlement_id": f"{ORDER}:1",
        "currency": "CNY",
        "net_sales": "688.00",
        "pool": "193.00",
        "loss": "0.00",
        "shares": {"sales_partner": "86.85", "partner": "67.55", "bank": "38.60"},
        "rules": [["profit", 1]],
    }
    sold_out.desk.relay.deliver_due()
    (to_farm,) = sold_out.messages(TO_FARM, "profit.settled")
    (to_li,) = sold_out.messages(TO_LI, "profit.settled")
    assert to_farm.data["pool"] == "193.00"
    assert to_farm.data["shares"][1] == {
        "beneficiary": "partner",
        "share": "67.55",
        "withheld": "0.00",
        "kept": "67.55",
    }
    assert to_li.data == {
        "order_id": ORDER,
        "settlement_id": f"{ORDER}:1",
        "currency": "CNY",
        "net_sales": "688.00",
        "shares": [
            {
                "beneficiary": "sales_partner",
                "share": "86.85",
                "withheld": "0.00",
                "credited": "86.85",
            }
        ],
    }


def test_settling_again_gives_the_settlement_that_stands(sold_out: Bank) -> None:
    """By hand or by work, before and after the credits: there is one settlement."""
    first = sold_out.desk.settlement.settle(ORDER)
    entries = len(sold_out.entries())
    assert sold_out.desk.settlement.settle(ORDER) == first
    assert sold_out.desk.settlement.settle_due().settled == 0
    assert len(sold_out.entries()) == entries
    sold_out.desk.relay.credit_due()
    (standing,) = sold_out.desk.settlement.of_order(ORDER)
    assert sold_out.desk.settlement.settle(ORDER) == standing
    assert {each.state for each in standing.shares} == {CreditState.CREDITED, CreditState.KEPT}
    assert standing.credited_total == first.credited_total
    assert sold_out.state() is OrderState.CLOSED


def test_a_preview_writes_nothing(sold_out: Bank) -> None:
    """It says what settling would give; then settling gives just that."""
    before = sold_out.kinds(), sold_out.entries(), sold_out.order()
    preview = sold_out.desk.settlement.preview(ORDER)
    assert before == (sold_out.kinds(), sold_out.entries(), sold_out.order())
    with pytest.raises(NotFound) as refused:
        sold_out.desk.settlement.of_order(ORDER)
    assert reasons_of(refused.value) == [
        {"code": "not_settled", "order_id": ORDER, "state": "completed"}
    ]
    assert sold_out.desk.settlement.settle(ORDER) == preview


def test_a_running_order_can_be_previewed(shop: Bank) -> None:
    """With the figures so far, and the average cost of what was sold; a placed one has none."""
    shop.place()
    with pytest.raises(Refused) as refused:
        shop.desk.settlement.preview(ORDER)
    assert reasons_of(refused.value) == [
        {"code": "order_state", "order_id": ORDER, "state": "placed", "wanted": "preview"}
    ]
    shop.take(builders.accepted())
    assert str(shop.desk.settlement.preview(ORDER).pool) == "0.00"
    shop.take(builders.procured(), builders.sold(ORDER, ("APPLE", "9", "70.00")))
    preview = shop.desk.settlement.preview(ORDER)
    assert (str(preview.cost_of_goods), str(preview.pool)) == ("445.50", "184.50")
    assert any("average cost 495.00/10 x net sold" in line for line in preview.explanation)


def test_only_a_completed_order_is_settled(shop: Bank) -> None:
    """Not a running one, not one that ended without a sale, not one that does not exist."""
    shop.place()
    with pytest.raises(Refused) as refused:
        shop.desk.settlement.settle(ORDER)
    assert reasons_of(refused.value) == [
        {"code": "order_state", "order_id": ORDER, "state": "placed", "wanted": "settle"}
    ]
    shop.desk.dispatch.cancel(ORDER, why="不要了")
    for ask in (shop.desk.settlement.settle, shop.desk.settlement.preview):
        with pytest.raises(Refused) as refused:
            ask(ORDER)
        assert refused.value.codes == ("order_state",)
    settling = shop.desk.settlement
    for look in (settling.settle, settling.preview, settling.of_order):
        with pytest.raises(NotFound) as missing:
            look("D-9:green-farm")
        assert missing.value.codes == ("order_unknown",)


def test_a_settled_order_is_not_previewed(sold_out: Bank) -> None:
    """What was settled is read, not computed anew."""
    sold_out.desk.settlement.settle(ORDER)
    with pytest.raises(Refused) as refused:
        sold_out.desk.settlement.preview(ORDER)
    assert refused.value.reasons[0].details["state"] == "settled"


# Rules that are missing, or do not fit.


def test_an_order_without_a_rule_stays_due() -> None:
    """It is told with the product; when the rule is there, it is settled."""
    bank = without_rules()
    missing = {"code": "rule_missing", "order_id": ORDER, "product_number": "APPLE"}
    outcome = bank.desk.settlement.settle_due()
    assert outcome.settled == 0
    assert [each.as_dict() for each in outcome.refusals] == [missing]
    for ask in (bank.desk.settlement.settle, bank.desk.settlement.preview):
        with pytest.raises(Refused) as refused:
            ask(ORDER)
        assert reasons_of(refused.value) == [missing]
    assert bank.state() is OrderState.COMPLETED
    # A rule that came into force after the order was placed does not apply to it.
    later = builders.a_rule("late", effective_from=date(2026, 9, 2))
    bank.desk.settlement.add_rule(later)
    assert [each.code for each in bank.desk.work().settled.refusals] == ["rule_missing"]
    bank.desk.settlement.add_rule(builders.a_rule(effective_from=date(2026, 9, 1)))
    assert bank.desk.work().settled.settled == 1
    assert bank.state() is OrderState.CLOSED


def test_an_order_without_a_rule_keeps_no_other_back() -> None:
    """Several hundred orders are settled in some transactions, past those that cannot be."""
    bank = without_rules()
    bank.stock(row("PEAR", agreed_price="1.00"))
    bank.desk.settlement.add_rule(builders.a_rule(scope="product:PEAR"))
    demands = [builders.a_demand(f"E-{i:03}", ("PEAR", "1")) for i in range(401)]
    bank.desk.dispatch.place_many(demands)
    for i in range(401):
        order_id, goods = f"E-{i:03}:green-farm", ("PEAR", "1")
        bank.take(
            builders.accepted(order_id, report_id=f"AC-{i}"),
            builders.procured(order_id, (*goods, "0.50"), report_id=f"PR-{i}"),
            builders.sold(order_id, (*goods, "1.00"), report_id=f"SR-{i}"),
            builders.completed(order_id, report_id=f"CP-{i}"),
        )
    outcome = bank.desk.settlement.settle_due()
    assert outcome.settled == 401
    assert [each.details["order_id"] for each in outcome.refusals] == [ORDER]


def test_a_rule_with_amounts_fits_its_currency_only(sold_out: Bank) -> None:
    """A fixed amount in USD cannot settle an order in CNY."""
    rule = builders.a_rule(
        "fixed", scope="product:APPLE", amount=PerUnit(value="1.00"), currency="USD"
    )
    sold_out.desk.settlement.add_rule(rule)
    with pytest.raises(Refused) as refused:
        sold_out.desk.settlement.settle(ORDER)
    assert reasons_of(refused.value) == [
        {
            "code": "rule_currency_differs",
            "order_id": ORDER,
            "rule_id": "fixed",
            "rule_currency": "USD",
            "order_currency": "CNY",
        }
    ]


def test_a_pool_that_could_not_be_kept_is_refused(sold_out: Bank) -> None:
    """A rule that gives an absurd amount for each unit leaves the order due, and says so."""
    absurd = PerUnit(value="1" + "0" * 30)
    sold_out.desk.settlement.add_rule(
        builders.a_rule("absurd", scope="product:APPLE", amount=absurd)
    )
    for outcome in (sold_out.desk.work().settled, sold_out.desk.settlement.settle_due()):
        (refusal,) = outcome.refusals
        assert (refusal.code, refusal.details["field"]) == ("amount_too_large", "pool")
        assert refusal.details["value"] == "1" + "0" * 31 + ".00"
    assert sold_out.state() is OrderState.COMPLETED
    assert sold_out.balance("bank") == "0.00"


# What comes out.


def test_a_loss_is_shown_and_not_shared(shop: Bank) -> None:
    """The pool is zero, nobody is credited anything, and the order closes at once."""
    shop.limit(total="1000.00")
    shop.place()
    shop.sell_out(price="40.00")
    settlement = shop.desk.settlement.settle(ORDER)
    assert (str(settlement.pool), str(settlement.loss)) == ("0.00", "95.00")
    assert shares(settlement) == {
        "sales_partner": (0, 0, CreditState.NOTHING),
        "partner": (0, 0, CreditState.KEPT),
        "bank": (0, 0, CreditState.NOTHING),
    }
    assert not settlement.due
    assert shop.state() is OrderState.CLOSED
    assert shop.order().settled_at == shop.order().ended_at == builders.NOW
    assert shop.kinds(ORDER)[-2:] == [FactKind.ORDER_SETTLED, FactKind.ORDER_CLOSED]
    assert shop.used == {"total": "0.00"}
    assert shop.desk.work().credits.done == 0
    assert shop.messages(TO_LI, "profit.settled")[0].data["shares"][0]["credited"] == "0.00"


def test_a_loss_with_a_minimum_is_paid_for(shop: Bank) -> None:
    """With a minimum the pool is that, and it is credited."""
    shop.desk.settlement.add_rule(
        builders.a_rule(
            "least",
            scope="product:APPLE",
            amount=Percent(percent="50", minimum="30.00"),
            shares=(Share("bank", "1"),),
        )
    )
    shop.place()
    shop.sell_out(price="40.00")
    assert str(shop.desk.settlement.settle(ORDER).pool) == "30.00"
    shop.desk.work()
    assert shop.balance("bank") == "30.00"


def test_an_order_that_sold_nothing_closes(shop: Bank) -> None:
    """Accepted, and completed with nothing bought: it is settled with zeros and closed."""
    shop.limit(total="1000.00")
    shop.place()
    shop.take(builders.accepted(), builders.completed())
    assert shop.desk.work().settled.settled == 1
    assert shop.state() is OrderState.CLOSED
    assert shop.used == {"total": "0.00"}


def test_only_the_partner_shares_and_the_order_closes(shop: Bank) -> None:
    """What the partner keeps is not credited."""
    shop.desk.settlement.add_rule(
        builders.a_rule("own", scope="product:APPLE", shares=(Share("partner", "1"),))
    )
    shop.place()
    shop.sell_out()
    settlement = shop.desk.settlement.settle(ORDER)
    assert shares(settlement) == {"partner": (19300, 0, CreditState.KEPT)}
    assert shop.state() is OrderState.CLOSED
    shop.desk.relay.deliver_due()
    assert shop.messages(TO_LI, "profit.settled")[0].data["shares"] == []


def test_deductions_and_withholding(shop: Bank) -> None:
    """Reported expenses and percentages come off the base; tax comes off a share."""
    rule = builders.a_rule(
        "full",
        scope="partner:green-farm",
        deductions=(
            Deduction("freight", DeductionKind.REPORTED),
            Deduction("platform", DeductionKind.PERCENT_OF_NET_SALES, "0.6"),
            Deduction("nothing", DeductionKind.REPORTED),
        ),
        amount=Percent(percent="50"),
        shares=(
            Share("sales_partner", "2", Withholding("income_tax", "10.00", "20")),
            Share("bank", "1"),
        ),
    )
    shop.desk.settlement.add_rule(rule)
    shop.place()
    goods = "APPLE", "10"
    shop.take(
        builders.accepted(),
        builders.procured(ORDER, (*goods, "49.50")),
        builders.sold(ORDER, (*goods, "68.80")),
        builders.expense(amount="12.34"),
        builders.expense(ORDER, "parking", "5.00", report_id="EX-2"),
        builders.completed(),
    )
    settlement = shop.desk.settlement.settle(ORDER)
    # 688.00 - 495.00 - 12.34 - 4.13 (0.6 % of 688.00 is 4.128) = 176.53; half of it is 88.265.
    assert dict(settlement.deductions) == {"freight": 1234, "platform": 413, "nothing": 0}
    assert (settlement.base_minor, settlement.pool_minor) == (17653, 8827)
    # Two thirds of 88.27 are 58.85 by largest remainder; 20 % of what exceeds 10.00 are 9.77.
    assert shares(settlement) == {
        "sales_partner": (5885, 977, CreditState.DUE),
        "bank": (2942, 0, CreditState.DUE),
    }
    assert "reported parking 5.00 is not deducted by this rule" in settlement.explanation
    shop.desk.work()
    assert shop.balance(SP_LI) == "49.08"
    assert shop.messages(TO_FARM, "profit.settled")[0].data["deductions"] == {
        "freight": "12.34",
        "platform": "4.13",
        "nothing": "0.00",
    }


def two_rules(shop: Bank) -> str:
    """Complete an order whose apples, pears and plums are settled by different rules."""
    shop.desk.sales_partners.add(builders.a_sales_partner("sp-wu"))
    shop.stock(row("APPLE"), row("PEAR", agreed_price="20.00"), row("PLUM", agreed_price="10.00"))
    pear = builders.a_rule(
        "pear",
        scope="product:PEAR",
        basis=Basis.SPREAD,
        deductions=(Deduction("freight", DeductionKind.REPORTED),),
        shares=(Share("sales_partner:sp-wu", "1"), Share("bank", "1")),
    )
    plum = builders.a_rule(
        "plum", scope="product:PLUM", amount=PerUnit(value="0.125"), shares=(Share("bank", "1"),)
    )
    shop.desk.settlement.add_rule(pear)
    shop.desk.settlement.add_rule(plum)
    order_id = shop.place("D-1", ("APPLE", "10"), ("PEAR", "10"), ("PLUM", "4")).order_id
    goods = [("APPLE", "10", "49.50"), ("PEAR", "10", "15.00"), ("PLUM", "4", "1.00")]
    prices = [("APPLE", "10", "68.80"), ("PEAR", "10", "25.00"), ("PLUM", "4", "10.00")]
    shop.take(
        builders.accepted(),
        builders.procured(order_id, *goods),
        builders.sold(order_id, *prices),
        builders.expense(amount="9.78"),
        builders.completed(),
    )
    return order_id


def test_each_line_is_settled_by_the_most_specific_rule(shop: Bank) -> None:
    """The parts add up to one settlement; an expense is divided among them by net sales."""
    settlement = shop.desk.settlement.settle(two_rules(shop))
    assert settlement.rules == (("profit", 1), ("pear", 1), ("plum", 1))
    # 9.78 over 688.00 : 250.00 : 40.00 is 6.88 : 2.50 : 0.40.
    assert dict(settlement.deductions) == {"freight": 250}
    # Apples 193.00; pears 250.00 - 200.00 - 2.50 = 47.50; plums 0.125 x 4 = 0.50.
    assert settlement.pool_minor == 19300 + 4750 + 50
    assert sum(each.share_minor for each in settlement.shares) == settlement.pool_minor
    assert shares(settlement) == {
        "sales_partner": (8685, 0, CreditState.DUE),
        "partner": (6755, 0, CreditState.KEPT),
        "bank": (3860 + 2375 + 50, 0, CreditState.DUE),
        "sales_partner:sp-wu": (2375, 0, CreditState.DUE),
    }
    assert settlement.net_sales_minor == 97800
    done = shop.desk.relay.credit_due()
    assert done.done == 3
    assert [shop.balance(each) for each in (SP_LI, "sales_partner:sp-wu", "bank")] == [
        "86.85",
        "23.75",
        "62.85",
    ]
    assert shop.balance("partner:green-farm") == "-173.45"


def test_the_explanation_tells_every_step(shop: Bank) -> None:
    """Line by line: inputs, rule versions, each step and its rounding."""
    explanation = "\n".join(shop.desk.settlement.settle(two_rules(shop)).explanation)
    for step in (
        f"order {ORDER}, settlement 1, all amounts in CNY",
        "rule profit version 1, scope all, effective from 2026-01-01, basis profit",
        "rule pear version 1, scope product:PEAR, effective from 2026-01-01, basis spread",
        "APPLE: net sold 10, sales 688.00 - returns 0.00 = net sales 688.00",
        "base (spread): net sales 250.00 - agreed price x net sold 200.00 = 50.00",
        "deduction freight (reported): 2.50",
        "pool: 0.125 for each unit net sold = 0.50 (half-up)",
        "over all rules, bank is credited 62.85 (share 62.85 - withheld 0.00)",
        "over all rules, partner keeps 67.55",
    ):
        assert step in explanation


def test_the_rule_in_force_at_placing_applies(shop: Bank) -> None:
    """A version that comes into force later settles later orders only."""
    cheaper: dict[str, Any] = {"shares": (Share("bank", "1"),), "effective_from": date(2026, 9, 2)}
    shop.place("D-1")
    shop.desk.settlement.add_rule(builders.a_rule(version=2, **cheaper))
    # Midnight in Shanghai is four in the afternoon, UTC.
    shop.later(hours=14)
    shop.place("D-2")
    for demand_id in ("D-1", "D-2"):
        shop.sell_out(f"{demand_id}:green-farm")
    assert shop.desk.work().settled.settled == 2
    rules = [
        shop.desk.settlement.of_order(f"{each}:green-farm")[0].rules for each in ("D-1", "D-2")
    ]
    assert rules == [(("profit", 1),), (("profit", 2),)]


def test_one_sales_partner_may_get_two_shares(sold_out: Bank) -> None:
    """As the order's and by name: two credits with two keys."""
    sold_out.desk.settlement.add_rule(
        builders.a_rule(
            "twice",
            scope="product:APPLE",
            shares=(Share("sales_partner", "1"), Share(SP_LI, "1")),
        )
    )
    sold_out.desk.work()
    postings = sold_out.ledger.postings(SP_LI)
    assert [each.key for each in postings] == [f"{ORDER}:1:sales_partner", f"{ORDER}:1:{SP_LI}"]
    assert {each.amount for each in postings} == {Money(9650, "CNY")}
    assert sold_out.state() is OrderState.CLOSED
