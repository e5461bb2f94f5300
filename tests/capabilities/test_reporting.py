from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from consignment.adapters.memory import MemoryMessaging
from consignment.domain.errors import DeliveryFailed, InvalidValue, NotFound, reason
from consignment.domain.journal import FactKind
from consignment.domain.order import OrderState
from consignment.domain.report import ReportKind, ReportOutcome
from consignment.testing import builders
from tests.capabilities.banks import FARM, ORDER, TO_FARM, TO_LI, Bank, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consignment.ports.partner_messaging import Answer, Inbound

GOODS = "APPLE", "10"


def event(kind: str, data: dict[str, Any], report_id: str = "M-1", **changes: object) -> bytes:
    """Write a message as a partner sends it; a change to None leaves an attribute out."""
    whole: dict[str, Any] = {
        "specversion": "1.0",
        "id": report_id,
        "source": "/partners/green-farm",
        "type": f"consignment.{kind}",
        "time": "2026-09-01T11:00:00+08:00",
        "data": data,
        **changes,
    }
    return json.dumps({name: each for name, each in whole.items() if each is not None}).encode()


def acceptance(report_id: str = "M-1", order_id: str = ORDER) -> bytes:
    """Write the message that takes an order on."""
    return event("order.accepted", {"order_id": order_id}, report_id)


def codes(answer: Answer) -> list[str]:
    """Give the codes of an answer's reasons."""
    return [each.code for each in answer.reasons]


@pytest.fixture
def placed(shop: Bank) -> Bank:
    """Make a shop with an order of ten boxes of apples."""
    shop.place()
    return shop


@pytest.fixture
def stocked(placed: Bank) -> Bank:
    """Make a shop with ten boxes of apples to sell."""
    placed.take(builders.accepted(), builders.procured(ORDER, (*GOODS, "49.50")))
    return placed


# Taking reports.


def test_reports_move_an_order_along(placed: Bank) -> None:
    """From the acceptance to the completion; each report is kept, with its instants."""
    placed.take(builders.accepted())
    assert placed.state() is OrderState.ACCEPTED
    placed.take(builders.procured(ORDER, ("APPLE", "6", "49.50")))
    assert placed.state() is OrderState.PROCURING
    placed.take(builders.sold(ORDER, ("APPLE", "6", "68.80")))
    assert placed.state() is OrderState.ON_SALE
    placed.take(
        builders.procured(ORDER, ("APPLE", "3", "50.00"), report_id="PR-2", final=True),
        builders.returned(ORDER, ("APPLE", "1", "68.80")),
        builders.sent_back(ORDER, ("APPLE", "3", "49.50")),
        builders.written_off(ORDER, ("APPLE", "1")),
        builders.expense(),
        builders.completed(),
    )
    order = placed.order()
    assert order.state is OrderState.COMPLETED
    (line,) = order.lines
    assert (line.procured, line.net_sold, line.sent_back, line.written_off) == (9, 5, 3, 1)
    assert order.expenses == (("freight", 48015),)
    records = placed.desk.reporting.of_order(ORDER)
    assert [each.report_id for each in records] == [
        "AC-1", "PR-1", "SR-1", "PR-2", "RT-1", "SB-1", "WO-1", "EX-1", "CP-1",
    ]  # fmt: skip
    assert {each.outcome for each in records} == {ReportOutcome.TAKEN}
    assert placed.kinds(ORDER)[1:] == [FactKind.REPORT_TAKEN] * 9


def test_an_answer_may_overtake_the_receipt(placed: Bank) -> None:
    """A placed order can be accepted; that it was delivered later does not take it back."""
    placed.take(builders.accepted())
    placed.desk.relay.deliver_due()
    assert placed.state() is OrderState.ACCEPTED
    assert placed.order().dispatched_at is not None


@pytest.mark.parametrize("delivered", [False, True])
def test_a_partner_declines(placed: Bank, *, delivered: bool) -> None:
    """The order is rejected with the reason, and its quotas are released."""
    placed.limit(total="1000.00")
    if delivered:
        placed.desk.relay.deliver_due()
    placed.take(builders.rejected())
    assert (placed.state(), placed.order().end_reason) == (OrderState.REJECTED, "没有货")
    assert placed.used == {"total": "0.00"}
    assert str(placed.desk.progress.by_number("APPLE").ordered) == "0"
    # What was still on its way arrives, and changes nothing.
    placed.desk.relay.deliver_due()
    assert placed.state() is OrderState.REJECTED


def test_a_clock_that_runs_ahead_is_not_believed(placed: Bank) -> None:
    """What happened in the future happened when it was received."""
    placed.take(builders.accepted(at=builders.NOW.replace(year=2030)))
    assert placed.order().accepted_at == builders.NOW
    record = placed.desk.reporting.report(FARM, "AC-1")
    assert record.occurred_at == builders.NOW.replace(year=2030)


def test_a_report_is_refused_whole_with_every_reason(stocked: Bank) -> None:
    """One bad line keeps the good ones out; each reason has its figures."""
    stocked.admit("blue-farm")
    before = stocked.order()
    lines = [("APPLE", "11", "68.80"), ("PEAR", "1", "1.00")]
    assert stocked.refuse(builders.sold(ORDER, *lines)) == [
        {"code": "over_sold", "product_number": "APPLE", "quantity": "11", "unsold": "10"},
        {"code": "product_not_in_order", "order_id": ORDER, "product_number": "PEAR"},
    ]
    assert stocked.order() == before
    record = stocked.desk.reporting.report(FARM, "SR-1")
    assert record.outcome is ReportOutcome.REFUSED
    assert record.details == {"lines": [["APPLE", "11", "68.80"], ["PEAR", "1", "1.00"]]}
    assert record.effect == ()
    assert stocked.kinds(ORDER)[-1] is FactKind.REPORT_REFUSED


def test_figures_that_cannot_be(stocked: Bank) -> None:
    """Each kind of impossible figure has a code."""
    sell = builders.sold
    cases: list[tuple[Any, str]] = [
        (sell(ORDER, ("APPLE", "0", "1.00"), report_id="1"), "quantity_invalid"),
        (sell(ORDER, ("APPLE", "-1", "1.00"), report_id="2"), "quantity_invalid"),
        (sell(ORDER, ("APPLE", "1.5", "1.00"), report_id="3"), "quantity_invalid"),
        (sell(ORDER, ("APPLE", "1", "1.001"), report_id="4"), "amount_invalid"),
        (sell(ORDER, ("APPLE", "1", "-1.00"), report_id="5"), "amount_invalid"),
        (sell(ORDER, ("APPLE", "9", "9000000000000.00"), report_id="6"), "amount_too_large"),
        (builders.returned(ORDER, ("APPLE", "1", "1.00"), report_id="7"), "over_returned"),
        (builders.sent_back(ORDER, ("APPLE", "11", "1.00"), report_id="8"), "exceeds_unsold"),
        (builders.written_off(ORDER, ("APPLE", "11"), report_id="9"), "exceeds_unsold"),
        (builders.procured(ORDER, ("APPLE", "1", "1.00"), report_id="10"), "over_procured"),
        (builders.expense(currency="USD", report_id="11"), "currency_differs"),
        (builders.expense(amount="-0.01", report_id="12"), "amount_invalid"),
        (builders.expense(amount="1.001", report_id="13"), "amount_invalid"),
        (builders.completed(report_id="14"), "completion_unreconciled"),
        (builders.accepted(report_id="15"), "order_state"),
        (builders.rejected(report_id="16"), "order_state"),
    ]
    before = stocked.order()
    for report, code in cases:
        assert [each["code"] for each in stocked.refuse(report)] == [code]
    assert stocked.order() == before


def test_expenses_add_up_to_a_limit(stocked: Bank) -> None:
    """The total under one name stays within what is taken as an amount."""
    most = "9999999999999.99"
    stocked.take(builders.expense(amount=most), builders.expense(ORDER, "tax", report_id="EX-2"))
    (fault,) = stocked.refuse(builders.expense(amount="0.02", report_id="EX-3"))
    assert fault["code"] == "amount_too_large"


def test_goods_are_not_reported_before_the_order_is_accepted(placed: Bank) -> None:
    """Every kind but accepting and declining needs more than a placed order."""
    for report in (
        builders.procured(), builders.sold(), builders.returned(), builders.sent_back(),
        builders.written_off(), builders.expense(), builders.completed(),
    ):  # fmt: skip
        (fault,) = placed.refuse(report)
        assert (fault["code"], fault["state"]) == ("order_state", "placed")


def test_a_report_needs_lines_that_make_sense() -> None:
    """A report without lines, or with a product twice, cannot be made."""
    with pytest.raises(InvalidValue) as refused:
        builders.sold(ORDER, ("APPLE", "1", "1.00"), ("APPLE", "1", "1.00"))
    assert refused.value.codes == ("line_repeated",)


# Whose order it is.


def test_a_report_on_a_foreign_order_is_refused(stocked: Bank) -> None:
    """Who reports is known from the channel, whatever the report says."""
    before = stocked.order()
    stocked.admit("blue-farm")
    answer = stocked.desk.reporting.take("blue-farm", builders.sold())
    (fault,) = answer.reasons
    assert fault == reason("order_not_of_partner", order_id=ORDER, partner_id="blue-farm")
    assert answer.record.order_id is None
    assert stocked.order() == before
    # The same id from the order's own partner is another report.
    stocked.take(builders.sold())


def test_a_report_on_an_order_that_is_not_there_is_refused(stocked: Bank) -> None:
    """The partner's own, but never placed; and what is no order id at all."""
    (fault,) = stocked.refuse(builders.sold("D-9:green-farm"))
    assert fault == {"code": "order_unknown", "order_id": "D-9:green-farm", "partner_id": FARM}
    (fault,) = stocked.refuse(builders.sold("D-9", report_id="SR-2"))
    assert fault["code"] == "order_not_of_partner"


# Repeats and conflicts.


def test_the_same_report_again_gives_the_first_answer(stocked: Bank) -> None:
    """Whether it was taken or refused; and there is no second effect."""
    stocked.take(builders.sold(ORDER, ("APPLE", "4", "68.80")))
    stocked.refuse(builders.completed())
    facts, entries = stocked.kinds(), stocked.entries()
    stocked.later(days=1)
    again = stocked.desk.reporting.take(FARM, builders.sold(ORDER, ("APPLE", "4", "68.80")))
    assert (again.taken, again.repeated) == (True, True)
    assert again.record.received_at == builders.NOW
    refused = stocked.desk.reporting.take(FARM, builders.completed())
    assert (refused.taken, refused.repeated) == (False, True)
    assert refused.reasons[0].code == "completion_unreconciled"
    assert (stocked.kinds(), stocked.entries()) == (facts, entries)
    # That it could be taken by now does not matter: it has had its answer.
    stocked.take(builders.sold(ORDER, ("APPLE", "6", "68.80"), report_id="SR-2"))
    assert not stocked.desk.reporting.take(FARM, builders.completed()).taken
    stocked.take(builders.completed(report_id="CP-2"))


def test_a_report_id_stands_for_one_content(stocked: Bank) -> None:
    """With other content it is a conflict, which is answered once; the first stands."""
    stocked.take(builders.sold(ORDER, ("APPLE", "4", "68.80")))
    other = builders.sold(ORDER, ("APPLE", "5", "68.80"))
    fault = {"code": "report_conflict", "report_id": "SR-1", "kind": "goods.sold"}
    assert stocked.refuse(other) == [fault]
    assert stocked.refuse(other) == [fault]
    assert stocked.order().lines[0].sold == 4
    stocked.desk.relay.deliver_due()
    (told,) = stocked.messages(TO_FARM, "report.refused")
    assert told.data == {"report_id": "SR-1", "order_id": ORDER, "reasons": [fault]}
    # A different content again is told again.
    stocked.refuse(builders.sold(ORDER, ("APPLE", "6", "68.80")))
    stocked.desk.relay.deliver_due()
    assert len(stocked.messages(TO_FARM, "report.refused")) == 2


def test_content_is_the_same_in_another_time_zone(stocked: Bank) -> None:
    """An instant is an instant, however it is written."""
    at = builders.NOW.replace(hour=1)
    stocked.take(builders.expense(at=at))
    elsewhere = at.astimezone(stocked.desk.settings.timezone)
    assert stocked.desk.reporting.take(FARM, builders.expense(at=elsewhere)).repeated


def test_a_batch_is_taken_in_its_order(placed: Bank) -> None:
    """Each report sees what those before it made of the order; repeats and conflicts too."""
    goods = "APPLE", "10"
    reports = [
        builders.sold(ORDER, (*goods, "68.80"), report_id="SR-0"),
        builders.accepted(),
        builders.procured(ORDER, (*goods, "49.50")),
        builders.sold(ORDER, (*goods, "68.80")),
        builders.sold(ORDER, (*goods, "68.80")),
        builders.sold(ORDER, (*goods, "70.00")),
        builders.completed(),
        builders.expense(),
    ]
    answers = placed.desk.reporting.take_many(FARM, reports)
    assert [(each.taken, each.repeated) for each in answers] == [
        (False, False),
        (True, False),
        (True, False),
        (True, False),
        (True, True),
        (False, False),
        (True, False),
        (False, False),
    ]
    assert [answers[i].reasons[0].code for i in (0, 5, 7)] == [
        "order_state",
        "report_conflict",
        "order_state",
    ]
    order = placed.order()
    assert (order.state, order.revision) == (OrderState.COMPLETED, 1)
    assert placed.desk.progress.by_number("APPLE").stage == "sold_out"


def test_a_batch_may_concern_several_orders(placed: Bank) -> None:
    """Tallies and quotas are kept for all of them."""
    placed.limit(total="2000.00")
    placed.place("D-2", ("APPLE", "10"))
    placed.take(
        builders.accepted(),
        builders.rejected("D-2:green-farm"),
        builders.procured(ORDER, ("APPLE", "7", "1.00"), final=True),
        builders.sent_back(ORDER, ("APPLE", "2", "1.00")),
    )
    progress = placed.desk.progress.by_number("APPLE")
    assert (str(progress.ordered), str(progress.procured), str(progress.unsold)) == ("10", "7", "5")
    assert placed.used == {"total": "344.00"}


# What others are told.


def test_the_sales_partner_is_told_of_what_was_bought(placed: Bank) -> None:
    """Each procurement sends the products' information, with what came now and in all."""
    placed.stock(row("PEAR", unit_places="2", agreed_price="3.00"))
    placed.place("D-2", ("PEAR", "2.5"), ("APPLE", "1"))
    order_id = "D-2:green-farm"
    placed.take(
        builders.accepted(order_id),
        builders.procured(order_id, ("PEAR", "1.25", "2.00")),
        builders.procured(order_id, ("PEAR", "0.25", "2.00"), report_id="PR-2", final=True),
    )
    placed.desk.relay.deliver_due()
    first, second = placed.messages(TO_LI, "products.procured")
    assert second.data == {
        "order_id": order_id,
        "partner_id": FARM,
        "currency": "CNY",
        "final": True,
        "lines": [
            {
                "product_number": "PEAR",
                "name": "产品 PEAR",
                "quantity": "0.25",
                "procured": "1.50",
                "ordered": "2.50",
                "agreed_price": "3.00",
            }
        ],
    }
    assert (first.data["final"], first.data["lines"][0]["procured"]) == (False, "1.25")


# Messages as they come.


def test_a_message_is_read_and_taken(placed: Bank) -> None:
    """The bytes of a CloudEvent have the effect of the report that they are."""
    (answer,) = placed.desk.reporting.receive(FARM, [acceptance()])
    assert (answer.report_id, answer.repeated, answer.reasons) == ("M-1", False, ())
    assert placed.state() is OrderState.ACCEPTED
    (again,) = placed.desk.reporting.receive(FARM, [acceptance()])
    assert again.repeated


def test_a_malformed_message_with_an_id_is_kept_under_it(placed: Bank) -> None:
    """It is refused with every place named and answered once, however often it comes."""
    bad = event("goods.sold", {"order_id": ORDER, "lines": [{"quantity": 1}], "x": 1}, time=None)
    (answer,) = placed.desk.reporting.receive(FARM, [bad])
    assert answer.report_id == "M-1"
    assert set(codes(answer)) == {"missing_field", "unknown_field", "not_text"}
    record = placed.desk.reporting.report(FARM, "M-1")
    assert (record.kind, record.outcome) == (ReportKind.UNREADABLE, ReportOutcome.REFUSED)
    facts = placed.kinds()
    (again,) = placed.desk.reporting.receive(FARM, [bad])
    assert again == evolve(answer, repeated=True)
    assert placed.kinds() == facts
    # The id is used up: a good message under it is another content.
    (late,) = placed.desk.reporting.receive(FARM, [acceptance()])
    assert codes(late) == ["report_conflict"]
    placed.desk.relay.deliver_due()
    assert len(placed.messages(TO_FARM, "report.refused")) == 2


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[]", b'{"id": "\\u0000"}', b"NaN"])
def test_a_message_without_an_id_is_answered_and_journalled(placed: Bank, raw: bytes) -> None:
    """It cannot be kept under an id; it is refused, told to the partner once, and journalled."""
    (answer,) = placed.desk.reporting.receive(FARM, [raw])
    assert answer.report_id is None
    assert answer.reasons
    assert placed.kinds()[-1] is FactKind.REPORT_REFUSED
    placed.desk.reporting.receive(FARM, [raw])
    placed.desk.relay.deliver_due()
    (told,) = placed.messages(TO_FARM, "report.refused")
    assert told.data["report_id"] is None
    assert told.order_id is None


def test_different_messages_without_an_id_are_told_apart(placed: Bank) -> None:
    """Each is answered for itself."""
    placed.desk.reporting.receive(FARM, [b"{", b"[", b"{"])
    placed.desk.relay.deliver_due()
    assert len(placed.messages(TO_FARM, "report.refused")) == 2


def test_a_value_that_can_never_be_is_refused(placed: Bank) -> None:
    """A well-formed message with an impossible value gets the domain's reason."""
    line = {"product_number": "APPLE", "quantity": "1", "unit_price": "1.00"}
    bad = event("goods.sold", {"order_id": ORDER, "lines": [line, line]})
    (answer,) = placed.desk.reporting.receive(FARM, [bad])
    assert codes(answer) == ["line_repeated"]


def test_many_messages_are_some_transactions(placed: Bank) -> None:
    """Progress is told after each; answers come in the order of the messages."""
    done: list[int] = []
    expense = {"order_id": ORDER, "name": "freight", "amount": "0.01", "currency": "CNY"}
    messages = [
        acceptance(),
        *(event("expense.reported", expense, f"EX-{i}") for i in range(449)),
        b"nothing",
    ]
    answers = placed.desk.reporting.receive(FARM, iter(messages), progress=done.append)
    assert [each.report_id for each in answers] == [
        "M-1",
        *(f"EX-{i}" for i in range(449)),
        None,
    ]
    assert done == [200, 400, 451]
    assert placed.order().expenses == (("freight", 449),)


def test_inbound_deliveries_are_finished(placed: Bank) -> None:
    """Each delivery is taken out of the channel with the answers; an unusable one is refused."""
    good = placed.messaging.put(FARM, acceptance(), acceptance(), b"{")
    unusable = placed.messaging.put_unusable(FARM, reason("encoding_wrong"))
    foreign = placed.messaging.put("blue-farm", acceptance("M-2"))
    received = placed.desk.reporting.receive_inbound()
    assert (received.taken, received.repeated, received.refused) == (1, 1, 3)
    assert good.answers is not None
    assert [each.report_id for each in good.answers] == ["M-1", "M-1", None]
    assert unusable.reasons == (reason("encoding_wrong"),)
    assert foreign.answers is not None
    assert codes(foreign.answers[0]) == ["order_not_of_partner"]
    assert [codes(each)[0] for each in received.refusals][1:] == [
        "encoding_wrong",
        "order_not_of_partner",
    ]
    nothing = placed.desk.reporting.receive_inbound()
    assert (nothing.taken, nothing.repeated, nothing.refused) == (0, 0, 0)


def test_a_delivery_that_was_not_finished_comes_again(placed: Bank) -> None:
    """After a crash between commit and finish the same messages are repeats."""
    placed.desk.reporting.receive(FARM, [acceptance()])
    inbound = placed.messaging.put(FARM, acceptance())
    assert placed.desk.work().received.repeated == 1
    assert inbound.answers is not None
    assert inbound.answers[0].repeated


class Broken(MemoryMessaging):
    """A channel of which a part cannot be read."""

    def inbound(self) -> Iterator[Inbound]:
        yield from super().inbound()
        raise DeliveryFailed("blue-farm: Permission denied")


def test_trouble_with_the_channel_keeps_no_other_work_back() -> None:
    """What could be read is taken, the trouble is told, and all the rest is done."""
    channel = Broken()
    shop = Bank(messaging=channel).open_shop()
    shop.place()
    channel.put(FARM, acceptance())
    work = shop.desk.work()
    assert work.received.taken == 1
    assert work.received.trouble == "blue-farm: Permission denied"
    assert work.messages.done == 1
    assert shop.state() is OrderState.ACCEPTED


# Asking.


def test_an_unknown_report_is_refused(placed: Bank) -> None:
    """A report is found under its partner only."""
    placed.take(builders.accepted())
    with pytest.raises(NotFound) as refused:
        placed.desk.reporting.report("blue-farm", "AC-1")
    assert refused.value.reasons[0].details == {"partner_id": "blue-farm", "report_id": "AC-1"}
    assert placed.desk.reporting.of_order("D-9:green-farm") == []
