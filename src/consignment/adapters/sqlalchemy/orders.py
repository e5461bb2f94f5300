"""Demands and purchase orders with their lines."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, insert, select, update

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import (
    instant,
    json_text,
    json_value,
    micros,
    optional_instant,
    optional_micros,
)
from consignment.adapters.sqlalchemy.engines.galera import (
    PASS_GATES,
    order_gate,
    partner_gate,
)
from consignment.adapters.sqlalchemy.statements import KEYS, Lock, Session, Statement, one_of
from consignment.domain.order import OrderLine, OrderState, PurchaseOrder, partner_id_of
from consignment.ports.storage import DemandRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from consignment.adapters.sqlalchemy.statements import Row

__all__ = ["OrderRows", "order_line"]

_DEMANDS = tables.demands.c
_ORDERS = tables.orders.c
_LINES = tables.order_lines.c
_STATES = {each.value: each for each in OrderState}

_ADD_DEMANDS = Statement(insert(tables.demands))
_GET_DEMANDS = Statement(
    select(tables.demands).where(_DEMANDS.demand_id.in_(bindparam(KEYS, expanding=True)))
)

_ADD_ORDERS = Statement(insert(tables.orders))
_ADD_LINES = Statement(insert(tables.order_lines))

_OF_KEYS = _ORDERS.order_id.in_(bindparam(KEYS, expanding=True))
_LINES_OF_KEYS = _LINES.order_id.in_(bindparam(KEYS, expanding=True))
_READ_LINES = select(tables.order_lines).order_by(_LINES.order_id, _LINES.line_no)
# With the partner, an engine that is spread by partner looks in one place only.
_READ_ORDERS = select(tables.orders).order_by(_ORDERS.order_id)
_GET = Statement(_READ_ORDERS.where(_OF_KEYS))
_GET_LINES = Statement(_READ_LINES.where(_LINES_OF_KEYS))
_GET_OF_PARTNER = Statement(
    _READ_ORDERS.where(_OF_KEYS, _ORDERS.partner_id == bindparam("partner_id")), "partner_id"
)
_LOCK = Statement(select(_ORDERS.order_id).where(_OF_KEYS).order_by(_ORDERS.order_id))
_GET_LINES_OF_PARTNER = Statement(
    _READ_LINES.where(_LINES_OF_KEYS, _LINES.partner_id == bindparam("partner_id")), "partner_id"
)

_CHANGEABLE = (
    "state",
    "dispatched_at",
    "accepted_at",
    "completed_at",
    "settled_at",
    "ended_at",
    "end_reason",
    "last_report_at",
    "expenses",
)
_SAVE = Statement(
    update(tables.orders)
    .values(
        {**{name: bindparam(f"{name}_") for name in _CHANGEABLE}, "revision": _ORDERS.revision + 1}
    )
    .where(
        _ORDERS.order_id == bindparam("order_id_"),
        _ORDERS.partner_id == bindparam("partner_id_"),
        _ORDERS.revision == bindparam("read_"),
    ),
    *(f"{name}_" for name in _CHANGEABLE),
    "order_id_",
    "partner_id_",
    "read_",
)
_CHANGEABLE_OF_LINE = (
    "procured",
    "sold",
    "returned",
    "sent_back",
    "written_off",
    "settled",
    "delivery_final",
    "procurement_cost_minor",
    "sent_back_credit_minor",
    "gross_sales_minor",
    "returns_minor",
    "first_sale_at",
    "last_sale_at",
)
_SAVE_LINES = Statement(
    update(tables.order_lines)
    .values({name: bindparam(f"{name}_") for name in _CHANGEABLE_OF_LINE})
    .where(
        _LINES.order_id == bindparam("order_id_"),
        _LINES.partner_id == bindparam("partner_id_"),
        _LINES.product_number == bindparam("product_number_"),
    ),
    *(f"{name}_" for name in _CHANGEABLE_OF_LINE),
    "order_id_",
    "partner_id_",
    "product_number_",
)

_IN_STATE = Statement(
    select(tables.orders)
    .where(_ORDERS.state == bindparam("state"), _ORDERS.order_id > bindparam("after"))
    .order_by(_ORDERS.order_id)
    .limit(bindparam("limit")),
    "state",
    "after",
    "limit",
)
_IN_STATE_PLACED_UNTIL = Statement(
    select(tables.orders)
    .where(
        _ORDERS.state == bindparam("state"),
        _ORDERS.order_id > bindparam("after"),
        _ORDERS.placed_at <= bindparam("placed_until"),
    )
    .order_by(_ORDERS.order_id)
    .limit(bindparam("limit")),
    "state",
    "after",
    "placed_until",
    "limit",
)
_OF_SALES_PARTNER = Statement(
    select(tables.orders)
    .where(
        _ORDERS.sales_partner_id == bindparam("sales_partner_id"),
        one_of(_ORDERS.state, tables.GOODS_MOVE),
    )
    .order_by(_ORDERS.order_id),
    "sales_partner_id",
)
_LAST_ACCEPTED = Statement(
    select(func.max(_ORDERS.accepted_at)).where(
        _ORDERS.partner_id == bindparam("partner_id"), _ORDERS.accepted_at <= bindparam("until")
    ),
    "partner_id",
    "until",
)


class OrderRows:
    """Demands and purchase orders."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def demands(self, demand_ids: Collection[str]) -> dict[str, DemandRecord]:
        """Give those that were placed, by id."""
        rows = self._session.rows_by(_GET_DEMANDS, demand_ids)
        return {
            demand_id: DemandRecord(demand_id, digest, tuple(json_value(ids)), instant(placed_at))
            for demand_id, digest, ids, placed_at in rows
        }

    def add_demands(self, demands: Sequence[DemandRecord]) -> None:
        """Keep demands."""
        rows = [
            (each.demand_id, each.digest, json_text(each.order_ids), micros(each.placed_at))
            for each in sorted(demands, key=lambda each: each.demand_id)
        ]
        self._session.add(_ADD_DEMANDS, rows)

    def get(self, order_ids: Collection[str]) -> dict[str, PurchaseOrder]:
        """Give those that exist, by id, with their lines in the order they were placed in."""
        partner_ids = {partner_id_of(order_id) for order_id in order_ids}
        wanted = sorted(order_ids)
        # Nobody changes an order, or its lines, but with the order locked: so the lines, read by
        # another statement, are those of the same moment.
        if len(partner_ids) == 1:
            rows = self._session.rows_by(_GET_OF_PARTNER, wanted, *partner_ids, lock=Lock.CHANGE)
        else:
            rows = self._session.rows_by(_GET, wanted, lock=Lock.CHANGE)
        return {each.order_id: each for each in self._with_lines(rows)}

    def lock(self, order_ids: Collection[str]) -> None:
        """Let nobody else change orders until the transaction ends."""
        wanted = sorted(order_ids)
        self._session.touch(PASS_GATES, (order_gate(order_id) for order_id in wanted))
        self._session.rows_by(_LOCK, wanted, lock=Lock.CHANGE)

    def add(self, orders: Sequence[PurchaseOrder]) -> None:
        """Add orders."""
        orders = sorted(orders, key=lambda order: order.order_id)
        # Whether the partners may have orders was decided from rows that this does not change.
        self._session.touch(PASS_GATES, (partner_gate(order.partner_id) for order in orders))
        self._session.add(_ADD_ORDERS, [_order_row(order) for order in orders])
        self._session.add(
            _ADD_LINES,
            [
                _line_row(order, line_no, line)
                for order in orders
                for line_no, line in enumerate(order.lines)
            ],
        )

    def save(self, changes: Sequence[tuple[PurchaseOrder, PurchaseOrder]]) -> None:
        """Store changed orders, each as (as it was read, as it is now); only changed lines."""
        rows = []
        line_rows = []
        for read, now in changes:
            order_id, partner_id = read.order_id, read.partner_id
            rows.append((*_changeable(now), order_id, partner_id, read.revision))
            for was, line in zip(read.lines, now.lines, strict=True):
                if line is not was:
                    changed = _changeable_of_line(line)
                    line_rows.append((*changed, order_id, partner_id, line.product_number))
        self._session.change(_SAVE, rows, "orders")
        self._session.change(_SAVE_LINES, line_rows, "order lines")

    def in_state(
        self,
        states: Collection[OrderState],
        *,
        placed_until: datetime | None = None,
        after: str = "",
        limit: int,
    ) -> Sequence[PurchaseOrder]:
        """Give orders in some states by rising id, after an id; placed by an instant if given."""
        rows: list[Row] = []
        # One look-up for each state comes in the order of the index; together they would be sorted.
        for state in states:
            if placed_until is None:
                rows += self._session.rows(_IN_STATE, state.value, after, limit, lock=Lock.FREE)
            else:
                until = micros(placed_until)
                rows += self._session.rows(
                    _IN_STATE_PLACED_UNTIL, state.value, after, until, limit, lock=Lock.FREE
                )
        if len(states) > 1:
            rows = sorted(rows, key=lambda row: row[0])[:limit]
        return self._with_lines(rows)

    def of_sales_partner(self, sales_partner_id: str) -> Sequence[PurchaseOrder]:
        """Give a sales partner's orders that goods can move in, by rising id."""
        rows = self._session.rows(_OF_SALES_PARTNER, sales_partner_id, lock=Lock.CHANGE)
        return self._with_lines(rows)

    def last_accepted_at(self, partner_id: str, until: datetime) -> datetime | None:
        """Give when a partner last accepted an order, not after `until`."""
        rows = self._session.rows(_LAST_ACCEPTED, partner_id, micros(until))
        return optional_instant(rows[0][0])

    def _with_lines(self, rows: Sequence[Row]) -> list[PurchaseOrder]:
        if not rows:
            return []
        ids = [row[0] for row in rows]
        partner_ids = {row[1] for row in rows}
        if len(partner_ids) == 1:
            line_rows = self._session.rows_by(_GET_LINES_OF_PARTNER, ids, *partner_ids)
        else:
            line_rows = self._session.rows_by(_GET_LINES, ids)
        lines: defaultdict[str, list[OrderLine]] = defaultdict(list)
        for row in line_rows:
            lines[row[0]].append(order_line(row))
        return [_order(row, lines[row[0]]) for row in rows]


def _order_row(order: PurchaseOrder) -> Row:
    return (
        order.order_id,
        order.partner_id,
        order.demand_id,
        order.business_line,
        order.sales_partner_id,
        order.currency,
        micros(order.placed_at),
        *_changeable(order),
        order.revision,
    )


def _changeable(order: PurchaseOrder) -> Row:
    return (
        order.state.value,
        optional_micros(order.dispatched_at),
        optional_micros(order.accepted_at),
        optional_micros(order.completed_at),
        optional_micros(order.settled_at),
        optional_micros(order.ended_at),
        order.end_reason,
        optional_micros(order.last_report_at),
        json_text(order.expenses) if order.expenses else None,
    )


def _line_row(order: PurchaseOrder, line_no: int, line: OrderLine) -> Row:
    return (
        order.order_id,
        order.partner_id,
        line.product_number,
        line_no,
        line.name,
        line.ordered,
        line.unit_places,
        line.agreed_price_minor,
        *_changeable_of_line(line),
    )


def _changeable_of_line(line: OrderLine) -> Row:
    return (
        line.procured,
        line.sold,
        line.returned,
        line.sent_back,
        line.written_off,
        line.settled,
        line.delivery_final,
        line.procurement_cost_minor,
        line.sent_back_credit_minor,
        line.gross_sales_minor,
        line.returns_minor,
        optional_micros(line.first_sale_at),
        optional_micros(line.last_sale_at),
    )


def _order(row: Row, lines: Iterable[OrderLine]) -> PurchaseOrder:
    expenses = row[15]
    return PurchaseOrder(
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        row[5],
        instant(row[6]),
        tuple(lines),
        _STATES[row[7]],
        optional_instant(row[8]),
        optional_instant(row[9]),
        optional_instant(row[10]),
        optional_instant(row[11]),
        optional_instant(row[12]),
        row[13],
        optional_instant(row[14]),
        () if expenses is None else tuple((name, minor) for name, minor in json_value(expenses)),
        row[16],
    )


def order_line(row: Row) -> OrderLine:
    """Build a line from a whole row of `order_lines`."""
    return OrderLine(
        row[2],
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        row[11],
        row[12],
        row[13],
        bool(row[14]),
        row[15],
        row[16],
        row[17],
        row[18],
        optional_instant(row[19]),
        optional_instant(row[20]),
    )
