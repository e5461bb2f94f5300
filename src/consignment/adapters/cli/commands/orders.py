"""`order`: demands become purchase orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.adapters.cli.answer import Answer
from consignment.adapters.cli.console import figure
from consignment.adapters.cli.inputs import read_document
from consignment.adapters.cli.shapes import order_shape
from consignment.domain.money import decimal_text, minor_places
from consignment.domain.order import OrderState
from consignment.formats.documents import read_demand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console, Style
    from consignment.domain.order import PurchaseOrder

__all__ = ["add", "show_order"]

_ENDED = {OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED}


def add(commands: Commands) -> None:
    """Add the commands."""
    order = commands.group("order", "purchase orders")
    place = order.add("place", _place, "place a demand: one order for each partner concerned")
    place.add_argument("file", metavar="FILE")
    show = order.add("show", _show, "show an order as it is now")
    show.add_argument("order_id", metavar="ORDER_ID")
    cancel = order.add("cancel", _cancel, "cancel an order before anything was procured")
    close = order.add("short-close", _short_close, "say that no more is to be procured")
    for parser in (cancel, close):
        parser.add_argument("order_id", metavar="ORDER_ID")
        parser.add_argument("--reason", metavar="R", required=True, help="why; the partner is told")
    for parser in (place, cancel, close):
        parser.add_argument("--actor", metavar="A", help="who does it, for the journal")


def _place(asked: Invocation) -> Answer:
    demand = read_document(asked.given.file, read_demand)
    return _answer(asked.open().dispatch.place(demand, actor=asked.given.actor))


def _show(asked: Invocation) -> Answer:
    return _answer([asked.open().dispatch.order(asked.given.order_id)])


def _cancel(asked: Invocation) -> Answer:
    given = asked.given
    cancel = asked.open().dispatch.cancel
    return _answer([cancel(given.order_id, why=given.reason, actor=given.actor)])


def _short_close(asked: Invocation) -> Answer:
    given = asked.given
    short_close = asked.open().dispatch.short_close
    return _answer([short_close(given.order_id, why=given.reason, actor=given.actor)])


def _answer(orders: Sequence[PurchaseOrder]) -> Answer:
    def show(console: Console) -> None:
        for each in orders:
            show_order(console, each)

    return Answer({"orders": [order_shape(each) for each in orders]}, show)


def show_order(console: Console, order: PurchaseOrder) -> None:
    """Show people an order."""
    style: Style = "bad" if order.state in _ENDED else "good"
    console.say(f"{order.order_id}: {order.state.value}", style)
    console.say(
        f"  agreed value {order.agreed_value} {order.currency}, "
        f"{order.business_line}, on behalf of {order.sales_partner_id}"
    )
    if order.end_reason:
        console.say(f"  {order.end_reason}")
    places = minor_places(order.currency)
    counts = ("ordered", "procured", "net sold", "sent back", "unsold")
    console.table(
        ["product", figure("price"), *map(figure, counts)],
        (
            (
                (line.product_number, line.name),
                decimal_text(line.agreed_price_minor, places),
                *(
                    decimal_text(units, line.unit_places)
                    for units in (
                        line.ordered,
                        line.procured,
                        line.net_sold,
                        line.sent_back,
                        line.unsold,
                    )
                ),
            )
            for line in order.lines
        ),
    )
