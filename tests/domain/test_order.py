"""Purchase orders: what may happen to them when, and what never may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from consignment.domain.errors import (
    ConsignmentError,
    IllegalTransition,
    InvalidValue,
    Refused,
    UnusableInput,
    reason,
)
from consignment.domain.money import MAX_MINOR, Money, round_half_up
from consignment.domain.order import (
    ConsignmentDemand,
    DemandLine,
    OrderState,
    PurchaseOrder,
    order_id_of,
    partner_id_of,
)
from consignment.domain.report import GoodsLine, PartnerReport, Procured
from consignment.testing.builders import (
    NOW,
    a_demand,
    a_line,
    accepted,
    an_order,
    completed,
    expense,
    procured,
    rejected,
    returned,
    sent_back,
    sold,
    written_off,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_ORDER = "D-1:green-farm"
_LATER = NOW + timedelta(hours=2)
S = OrderState


def _take(order: PurchaseOrder, *reports: PartnerReport) -> PurchaseOrder:
    for report in reports:
        order = order.take(report, _LATER)
    return order


def _refusal(work: Callable[[], object]) -> list[dict[str, Any]]:
    with pytest.raises(Refused) as caught:
        work()
    return [each.as_dict() for each in caught.value.reasons]


# Reports against states.

#: With ten procured, five sold: a report of each kind that is right but for the state.
_REPORTS = (
    accepted(),
    rejected(),
    procured(_ORDER, ("APPLE", "1", "1")),
    sold(_ORDER, ("APPLE", "1", "1")),
    returned(_ORDER, ("APPLE", "1", "1")),
    sent_back(_ORDER, ("APPLE", "1", "1")),
    written_off(_ORDER, ("APPLE", "1")),
    expense(),
    completed(),
)
#: What each state becomes by each kind of report, in the order above; None where it is refused.
_BECOMES: dict[OrderState, tuple[OrderState | None, ...]] = {
    S.PLACED: (S.ACCEPTED, S.REJECTED, *[None] * 7),
    S.DISPATCHED: (S.ACCEPTED, S.REJECTED, *[None] * 7),
    S.ACCEPTED: (None, None, S.PROCURING, None, None, None, None, S.ACCEPTED, S.COMPLETED),
    S.PROCURING: (
        None,
        None,
        S.PROCURING,
        S.ON_SALE,
        S.PROCURING,
        S.PROCURING,
        S.PROCURING,
        S.PROCURING,
        S.COMPLETED,
    ),
    S.ON_SALE: (None, None, *[S.ON_SALE] * 6, S.COMPLETED),
    S.COMPLETED: (None,) * 9,
    S.SETTLED: (None,) * 9,
    S.CLOSED: (None,) * 9,
    S.REJECTED: (None,) * 9,
    S.CANCELLED: (None,) * 9,
    S.EXPIRED: (None,) * 9,
}


@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("index", range(9), ids=[each.kind.value for each in _REPORTS])
def test_each_report_in_each_state(state: OrderState, index: int) -> None:
    """Every kind of report is taken in the states where it can come, and refused elsewhere."""
    report, becomes = _REPORTS[index], _BECOMES[state][index]
    line = a_line(ordered=20, procured=10, sold=5)
    if report.kind.value == "order.completed":
        line = a_line(ordered=20)
    order = an_order("D-1", "green-farm", line, state=state)
    if becomes is None:
        with pytest.raises(IllegalTransition) as caught:
            order.take(report, _LATER)
        assert caught.value.reasons == (
            reason("order_state", order_id=_ORDER, state=state.value, wanted=report.kind.value),
        )
    else:
        taken = order.take(report, _LATER)
        assert taken.state is becomes
        assert taken.last_report_at == report.occurred_at


_BANK: dict[str, Callable[[PurchaseOrder], PurchaseOrder]] = {
    "cancel": lambda order: order.cancelled("why", NOW),
    "expire": lambda order: order.expired(NOW),
    "short_close": lambda order: order.short_closed(),
    "settle": lambda order: order.settled(NOW),
    "close": lambda order: order.closed(NOW),
}
_BANK_BECOMES: dict[str, dict[OrderState, OrderState]] = {
    "cancel": dict.fromkeys((S.PLACED, S.DISPATCHED, S.ACCEPTED), S.CANCELLED),
    "expire": dict.fromkeys((S.PLACED, S.DISPATCHED), S.EXPIRED),
    "short_close": dict.fromkeys((S.PROCURING, S.ON_SALE), S.ON_SALE),
    "settle": {S.COMPLETED: S.SETTLED},
    "close": {S.SETTLED: S.CLOSED},
}


@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("what", list(_BANK))
def test_each_step_of_the_bank_in_each_state(state: OrderState, what: str) -> None:
    """What the bank does is possible in its states only."""
    order = an_order(state=state)
    becomes = _BANK_BECOMES[what].get(state)
    if becomes is None:
        with pytest.raises(IllegalTransition) as caught:
            _BANK[what](order)
        assert caught.value.reasons[0].details["wanted"] == what
    else:
        assert _BANK[what](order).state is becomes


def test_an_answer_may_overtake_the_delivery_receipt() -> None:
    """A placed order can be accepted; the receipt then only notes its instant, once."""
    order = _take(an_order(), accepted())
    receipt = order.dispatched(_LATER)
    assert (receipt.state, receipt.dispatched_at) == (S.ACCEPTED, _LATER)
    assert receipt.dispatched(_LATER + timedelta(days=1)) is receipt
    assert an_order().dispatched(_LATER).state is S.DISPATCHED


def test_ends_say_when_and_why() -> None:
    """Rejection, cancelling and expiry keep their instant and reason."""
    assert _take(an_order(), rejected(why="没有货")).end_reason == "没有货"
    ended = an_order().cancelled("mistake", _LATER)
    assert (ended.ended_at, ended.end_reason) == (_LATER, "mistake")
    assert an_order().expired(_LATER).end_reason == "no answer"
    with pytest.raises(InvalidValue):
        an_order().cancelled(" ", _LATER)


def test_a_clock_that_runs_ahead_is_not_believed() -> None:
    """What is said to have happened later than it was received, happened when it was received."""
    ahead = accepted(at=_LATER + timedelta(days=9))
    order = an_order().take(ahead, _LATER)
    assert (order.accepted_at, order.last_report_at) == (_LATER, _LATER)
    late = procured(at=NOW - timedelta(days=1))
    assert order.take(late, _LATER).last_report_at == _LATER


def test_instants_of_reports_are_kept_in_utc() -> None:
    """An instant of another zone is the same instant in UTC."""
    at = datetime.fromisoformat("2026-09-01T10:30:00+08:00")
    order = an_order().take(accepted(at=at), _LATER)
    assert order.accepted_at == at
    assert order.accepted_at is not None
    assert order.accepted_at.tzinfo is UTC


# Goods.


def test_goods_are_counted_by_line() -> None:
    """A whole life: counts and amounts add up, first and last sale are kept."""
    order = _take(
        an_order("D-1", "green-farm", a_line(ordered=10), a_line("PEAR", 1500, places=3)),
        accepted(),
        procured(_ORDER, ("APPLE", "6", "49.50")),
        procured(_ORDER, ("APPLE", "4", "49.00"), ("PEAR", "1.5", "3.33"), report_id="PR-2"),
        sold(_ORDER, ("APPLE", "7", "68.80"), ("PEAR", "1.001", "5.00"), at=NOW),
        sold(_ORDER, ("APPLE", "1", "60"), at=NOW - timedelta(days=1)),
        returned(_ORDER, ("APPLE", "2", "68.80")),
        sent_back(_ORDER, ("APPLE", "3", "49.50")),
        written_off(_ORDER, ("APPLE", "1"), ("PEAR", "0.499")),
    )
    apple, pear = order.lines
    assert (apple.procured, apple.sold, apple.returned, apple.net_sold) == (10, 8, 2, 6)
    assert (apple.sent_back, apple.written_off, apple.unsold) == (3, 1, 0)
    assert apple.procurement_cost_minor == 6 * 4950 + 4 * 4900
    assert apple.gross_sales_minor == 7 * 6880 + 6000
    assert apple.net_sales_minor == 5 * 6880 + 6000
    assert apple.cost_of_goods_minor == 6 * 4950 + 4 * 4900 - 3 * 4950
    assert (apple.first_sale_at, apple.last_sale_at) == (NOW - timedelta(days=1), NOW)
    # 1.5 x 3.33 = 4.995 and 1.001 x 5.00 = 5.005, each half-up.
    assert (pear.procurement_cost_minor, pear.gross_sales_minor) == (500, 501)
    assert order.state is S.ON_SALE
    done = _take(order, completed())
    assert (done.state, done.completed_at) == (S.COMPLETED, _LATER)
    assert done.settled(_LATER).lines[0].settled == 6


def test_procurement_ends_when_all_is_there_or_no_more_comes() -> None:
    """An order is on sale when every line is full, or its delivery final."""
    order = _take(an_order(), accepted(), procured(_ORDER, ("APPLE", "9", "1")))
    assert order.state is S.PROCURING
    assert _take(order, procured(_ORDER, ("APPLE", "1", "1"))).state is S.ON_SALE
    final = _take(an_order(), accepted(), procured(_ORDER, ("APPLE", "9", "1"), final=True))
    assert (final.state, final.lines[0].delivery_final) == (S.ON_SALE, True)
    assert order.short_closed().lines[0].delivery_final
    assert _refusal(lambda: _take(final, procured(_ORDER, ("APPLE", "1", "1")))) == [
        {"code": "procurement_final", "product_number": "APPLE", "procured": "9"}
    ]


_STOCKED = an_order(
    "D-1",
    "green-farm",
    a_line(ordered=10, procured=6, sold=3, returned=1, sent_back=1),
    a_line("PEAR", 2000, places=3, procured=1000),
    state=OrderState.ON_SALE,
)


@pytest.mark.parametrize(
    ("report", "faults"),
    [
        (
            procured(_ORDER, ("APPLE", "5", "1")),
            [
                {
                    "code": "over_procured",
                    "product_number": "APPLE",
                    "quantity": "5",
                    "procured": "6",
                    "ordered": "10",
                }
            ],
        ),
        (
            sold(_ORDER, ("APPLE", "4", "1"), ("PEAR", "1.001", "1")),
            [
                {
                    "code": "over_sold",
                    "product_number": "APPLE",
                    "quantity": "4",
                    "unsold": "3",
                },
                {
                    "code": "over_sold",
                    "product_number": "PEAR",
                    "quantity": "1.001",
                    "unsold": "1.000",
                },
            ],
        ),
        (
            returned(_ORDER, ("APPLE", "3", "1")),
            [
                {
                    "code": "over_returned",
                    "product_number": "APPLE",
                    "quantity": "3",
                    "net_sold": "2",
                }
            ],
        ),
        (
            sent_back(_ORDER, ("APPLE", "4", "1")),
            [
                {
                    "code": "exceeds_unsold",
                    "product_number": "APPLE",
                    "quantity": "4",
                    "unsold": "3",
                }
            ],
        ),
        (
            written_off(_ORDER, ("PEAR", "1.5")),
            [
                {
                    "code": "exceeds_unsold",
                    "product_number": "PEAR",
                    "quantity": "1.500",
                    "unsold": "1.000",
                }
            ],
        ),
        (
            sold(_ORDER, ("APPLE", "1.5", "1"), ("PEAR", "0", "1"), ("NONE", "1", "1")),
            [
                {"code": "quantity_invalid", "product_number": "APPLE", "quantity": "1.5"},
                {"code": "quantity_invalid", "product_number": "PEAR", "quantity": "0"},
                {"code": "product_not_in_order", "order_id": _ORDER, "product_number": "NONE"},
            ],
        ),
        (
            sold(_ORDER, ("APPLE", "-1", "-1"), ("PEAR", "1", "0.001")),
            [
                {"code": "quantity_invalid", "product_number": "APPLE", "quantity": "-1"},
                {"code": "amount_invalid", "product_number": "APPLE", "unit_amount": "-1"},
                {"code": "amount_invalid", "product_number": "PEAR", "unit_amount": "0.001"},
            ],
        ),
        (
            expense(currency="USD"),
            [
                {
                    "code": "currency_differs",
                    "order_id": _ORDER,
                    "currency": "USD",
                    "order_currency": "CNY",
                }
            ],
        ),
        (
            expense(amount="-1"),
            [{"code": "amount_invalid", "name": "freight", "amount": "-1"}],
        ),
        (
            expense(amount="0.001"),
            [{"code": "amount_invalid", "name": "freight", "amount": "0.001"}],
        ),
        (
            completed(),
            [
                {
                    "code": "completion_unreconciled",
                    "order_id": _ORDER,
                    "product_number": "APPLE",
                    "unsold": "3",
                },
                {
                    "code": "completion_unreconciled",
                    "order_id": _ORDER,
                    "product_number": "PEAR",
                    "unsold": "1.000",
                },
            ],
        ),
    ],
)
def test_a_report_is_refused_whole_with_every_figure(
    report: PartnerReport, faults: list[dict[str, object]]
) -> None:
    """What cannot be is refused, all lines at once, with the figures behind it."""
    assert _refusal(lambda: _take(_STOCKED, report)) == faults


def test_amounts_have_an_end() -> None:
    """Totals of a line, and of an expense, stay within ten to the fifteenth minor units."""
    most = str(MAX_MINOR // 100)
    line = a_line(ordered=10, procured=5, procurement_cost_minor=MAX_MINOR)
    order = an_order("D-1", "green-farm", line, state=S.ON_SALE)
    for report in (
        procured(_ORDER, ("APPLE", "1", "0.01")),
        sold(_ORDER, ("APPLE", "2", most)),
        sent_back(_ORDER, ("APPLE", "2", most)),
    ):
        (fault,) = _refusal(partial(_take, order, report))
        assert fault["code"] == "amount_too_large"
    assert _refusal(lambda: _take(order, sold(_ORDER, ("APPLE", "2", most)))) == [
        {"code": "amount_too_large", "product_number": "APPLE", "unit_amount": most}
    ]
    spent = _take(order, expense(amount=most))
    assert _refusal(lambda: _take(spent, expense(amount="0.01"))) == [
        {"code": "amount_too_large", "name": "freight", "amount": "0.01"}
    ]


def test_an_expense_is_refused_with_every_reason() -> None:
    """The currency and the sign are both looked at; decimals only in the order's currency."""
    for amount, codes in (
        ("-1", ["currency_differs", "amount_invalid"]),
        ("0.001", ["currency_differs"]),
    ):
        wrong = evolve(expense(amount=amount), currency="USD")
        assert [each["code"] for each in _refusal(partial(_take, _STOCKED, wrong))] == codes


def test_expenses_add_up_by_name() -> None:
    """Each name has its total, by name."""
    order = _take(_STOCKED, expense(), expense(amount="0.85"), expense(name="a", amount="1"))
    assert order.expenses == (("a", 100), ("freight", 48100))


# Reservations.


def test_reservations_by_hand() -> None:
    """Agreed price times what is still to come or not settled, in every scope."""
    order = an_order(
        "D-1",
        "green-farm",
        a_line("A", 10, price_minor=1000, procured=8, sold=3, sent_back=2, delivery_final=True),
        a_line("B", 1500, price_minor=333, places=3),
        state=S.ON_SALE,
    )
    # A: 10 ordered, 2 never delivered, 2 sent back, so 6 x 10.00. B: 1.500 x 3.33 = 4.995.
    assert order.reservations() == {
        ("product:A", "CNY"): 6000,
        ("product:B", "CNY"): 500,
        ("total", "CNY"): 6500,
        ("business_line:retail", "CNY"): 6500,
        ("partner:green-farm", "CNY"): 6500,
    }
    assert order.agreed_value == Money(10_500, "CNY")


def test_reservations_change_with_what_is_reported() -> None:
    """The difference between two states of an order, by scope; without any, nothing."""
    line, other = a_line("A", 10, price_minor=1000), a_line("B", 1, price_minor=7)
    order = _take(an_order("D-1", "green-farm", line, other), accepted())
    short = _take(order, procured(_ORDER, ("A", "8", "1"), final=True))
    # Two of A and one of B will never come.
    scopes = ("total", "business_line:retail", "partner:green-farm")
    assert short.reservation_changes(order) == {
        ("product:A", "CNY"): -2000,
        ("product:B", "CNY"): -7,
        **{(scope, "CNY"): -2007 for scope in scopes},
    }
    some_sold = _take(short, sold(_ORDER, ("A", "8", "1")))
    assert some_sold.reservation_changes(short) == {}
    done = _take(some_sold, completed())
    assert done.reservation_changes(some_sold) == {}
    settled = done.settled(_LATER)
    assert settled.reservation_changes(done)["total", "CNY"] == -8000
    assert settled.closed(_LATER).reservation_changes(settled) == {}
    assert order.reservation_changes(order) == {}


def test_messages_of_later_changes_come_later() -> None:
    """Positions rise with the order's revision, and within one change."""
    order = an_order()
    later = evolve(order, revision=1)
    places = [0, *(each.message_position(nth) for each in (order, later) for nth in (0, 1))]
    assert places == sorted(set(places))


@pytest.mark.parametrize("state", [S.SETTLED, S.CLOSED, S.REJECTED, S.CANCELLED, S.EXPIRED])
def test_an_order_that_ended_reserves_nothing(state: OrderState) -> None:
    """Rejection, cancelling, expiry and settlement release everything."""
    assert an_order(state=state).reservations() == {}


# Whatever comes.

_COUNTS = st.sampled_from(["0", "1", "2", "3", "5", "8", "0.5", "-1", "100"])
_GOODS = st.lists(
    st.tuples(st.sampled_from(["APPLE", "PEAR", "NONE"]), _COUNTS, st.sampled_from(["0", "1.50"])),
    min_size=1,
    max_size=3,
    unique_by=lambda line: line[0],
)
_ANY_REPORT = st.one_of(
    st.sampled_from([accepted(), rejected(), completed(), expense()]),
    st.builds(lambda lines, final: procured(_ORDER, *lines, final=final), _GOODS, st.booleans()),
    st.builds(lambda lines: sold(_ORDER, *lines), _GOODS),
    st.builds(lambda lines: returned(_ORDER, *lines), _GOODS),
    st.builds(lambda lines: sent_back(_ORDER, *lines), _GOODS),
    st.builds(
        lambda lines: written_off(_ORDER, *((number, count) for number, count, _ in lines)), _GOODS
    ),
)


def _check(order: PurchaseOrder) -> None:
    for line in order.lines:
        assert line.unsold >= 0
        assert 0 <= line.net_sold <= line.procured <= line.ordered
        assert line.unsold == line.procured - line.net_sold - line.sent_back - line.written_off
        never = line.ordered - line.procured if line.delivery_final else 0
        left = line.ordered - never - line.sent_back - line.settled
        exact = Fraction(line.agreed_price_minor * left, 10**line.unit_places)
        assert line.reserved_minor == round_half_up(exact)
        assert line.reserved_minor >= 0
    if order.state in {S.COMPLETED, S.SETTLED}:
        assert not any(line.unsold for line in order.lines)


@settings(max_examples=300)
@given(st.lists(_ANY_REPORT, max_size=25))
def test_no_reports_break_the_counts(reports: list[PartnerReport]) -> None:
    """Whatever is reported in whatever order, the counts hold, and a refusal changes nothing."""
    order = an_order(
        "D-1", "green-farm", a_line(ordered=8, price_minor=333), a_line("PEAR", 80, places=1)
    ).take(accepted(), _LATER)
    for report in reports:
        before = order
        try:
            order = order.take(report, _LATER)
        except Refused:
            assert order == before
        _check(order)
    if order.state is S.COMPLETED:
        settled = order.settled(_LATER)
        _check(settled)
        assert [line.settled for line in settled.lines] == [line.net_sold for line in order.lines]


# Demands and ids.


def test_order_ids_tell_their_partner() -> None:
    """An order's id is its demand's and its partner's."""
    assert order_id_of("D-1", "green-farm") == _ORDER
    assert partner_id_of(_ORDER) == "green-farm"
    assert partner_id_of("D-1") == ""


def test_a_demands_digest_tells_contents_apart() -> None:
    """Lines, quantities and the instant count; the instant's zone does not."""
    digests = {
        each.digest()
        for each in (
            a_demand(),
            a_demand("D-2"),
            a_demand("D-1", ("APPLE", "11")),
            a_demand("D-1", ("APPLE", "10"), ("PEAR", "1")),
            a_demand(business_line="corporate"),
            a_demand(sales_partner_id="sp-wang"),
            a_demand(raised_at=NOW),
        )
    }
    assert len(digests) == 7
    elsewhere = NOW.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+08:00").tzinfo)
    assert a_demand(raised_at=elsewhere).digest() == a_demand(raised_at=NOW).digest()


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"demand_id": "a b"}, ["id_invalid"]),
        ({"business_line": ""}, ["id_invalid"]),
        ({"sales_partner_id": "x:y"}, ["id_invalid"]),
        ({"raised_at": datetime(2026, 1, 1)}, ["instant_naive"]),  # noqa: DTZ001 - that is what is refused
        ({"lines": ()}, ["lines_empty"]),
        (
            {"lines": [DemandLine(each, "1") for each in ("a", "b", "a", "c", "c")]},
            ["line_repeated", "line_repeated"],
        ),
    ],
)
def test_demands_that_cannot_be_are_refused(changes: dict[str, Any], codes: list[str]) -> None:
    """Ids, the instant and the lines are checked."""
    with pytest.raises(InvalidValue) as caught:
        evolve(a_demand(), **changes)
    assert list(caught.value.codes) == codes
    assert isinstance(a_demand(), ConsignmentDemand)


# Reports themselves.


@pytest.mark.parametrize(
    ("work", "codes"),
    [
        (lambda: accepted(report_id=""), ["text_missing"]),
        (lambda: accepted(report_id="x" * 129), ["text_too_long"]),
        (lambda: accepted(" x"), ["id_invalid"]),
        (lambda: accepted(at=datetime(2026, 1, 1)), ["instant_naive"]),  # noqa: DTZ001 - that is what is refused
        (lambda: rejected(why=""), ["text_missing"]),
        (lambda: written_off(why="a\x00b"), ["text_unprintable"]),
        (lambda: expense(name=""), ["text_missing"]),
        (lambda: sold(_ORDER, ("A", "x", "1")), ["number_invalid"]),
        (
            lambda: sold(_ORDER, ("A", "1"), ("B", "1", "1"), ("A", "1")),
            ["line_repeated", "unit_amount_missing", "unit_amount_missing"],
        ),
        (
            lambda: Procured(report_id="x", order_id=_ORDER, occurred_at=NOW, lines=()),
            ["lines_empty"],
        ),
    ],
)
def test_reports_that_cannot_be_are_refused(work: Callable[[], object], codes: list[str]) -> None:
    """Heads, texts, numbers and lines are checked, the lines all at once."""
    with pytest.raises(InvalidValue) as caught:
        work()
    assert list(caught.value.codes) == codes


def test_reports_tell_what_they_have_beside_the_head() -> None:
    """Details are plain text, exact and without exponents."""
    line = GoodsLine("A", Decimal("1E+2"), Decimal("0.10"))
    assert Procured(report_id="x", order_id=_ORDER, occurred_at=NOW, lines=[line]).details() == {
        "lines": [["A", "100", "0.10"]],
        "final": False,
    }
    assert written_off().details() == {"lines": [["APPLE", "10", None]], "reason": "坏了"}
    assert rejected().details() == {"reason": "没有货"}
    assert accepted().details() == completed().details() == {}
    assert expense().details() == {"name": "freight", "amount": "480.15", "currency": "CNY"}
    assert line.content() == ["A", Decimal(100), Decimal("0.10")]


def test_a_reports_digest_tells_contents_apart() -> None:
    """Kind, id, order, instant and content count."""
    digests = [
        each.digest()
        for each in (
            accepted(),
            completed(report_id="AC-1"),
            accepted(report_id="AC-2"),
            accepted("D-2:green-farm"),
            accepted(at=NOW),
            sold(),
            sold(_ORDER, ("APPLE", "10", "68.81")),
            returned(report_id="SR-1"),
            procured(),
            procured(final=True),
        )
    ]
    assert len(set(digests)) == len(digests)


# Errors.


def test_refusals_carry_every_reason() -> None:
    """A refusal tells all its reasons, in words and as codes; it has at least one."""
    refused = Refused([reason("a", n=1, m="x"), reason("b")])
    assert str(refused) == "a (n=1, m=x); b"
    assert refused.codes == ("a", "b")
    assert str(UnusableInput(reason("c"))) == "c"
    assert isinstance(refused, ConsignmentError)
    with pytest.raises(ValueError, match="at least one reason"):
        Refused([])


@given(st.integers(0, MAX_MINOR), st.integers(1, 10**9), st.data())
def test_the_cost_of_what_was_sold_is_the_average(
    cost: int, procured: int, data: st.DataObject
) -> None:
    """Cost x net sold / procured, rounded half-up; nothing while nothing was procured."""
    net_sold = data.draw(st.integers(0, procured))
    line = evolve(
        a_line(), ordered=procured, procured=procured, sold=net_sold, procurement_cost_minor=cost
    )
    assert line.cost_of_sold_minor == round_half_up(Fraction(cost * net_sold, procured))
    assert evolve(line, procured=0, sold=0).cost_of_sold_minor == 0
