"""Quotas: the bank's own, and those of one partner or of one of its products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, or_, select, text, union_all, update

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.engines import upsert
from consignment.adapters.sqlalchemy.orders import order_line
from consignment.adapters.sqlalchemy.statements import KEYS, Lock, Session, Statement, one_of
from consignment.domain.quota import Quota

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement, Select, Table
    from sqlalchemy.sql.base import Executable

    from consignment.adapters.sqlalchemy.statements import Row
    from consignment.domain.quota import QuotaKey

__all__ = ["QuotaRows"]

_BANK = tables.quotas.c
_PARTNERS = tables.partner_quotas.c
_ORDERS = tables.orders.c
_LINES = tables.order_lines.c


def _read(table: Table) -> Select[Row]:
    c = table.c
    return select(c.scope, c.currency, c.limit_minor, c.used_minor)


_APPLICABLE = Statement(
    union_all(
        _read(tables.quotas).where(_BANK.scope.in_(bindparam(KEYS, expanding=True))),
        _read(tables.partner_quotas).where(_PARTNERS.partner_id == bindparam("partner_id")),
    ).order_by("scope", "currency"),
    "partner_id",
)
_LIST = Statement(
    union_all(_read(tables.quotas), _read(tables.partner_quotas)).order_by("scope", "currency")
)


def _put_bank(dialect: str) -> Executable:
    return upsert(dialect, tables.quotas, put=("limit_minor", "used_minor"))


def _put_partner(dialect: str) -> Executable:
    return upsert(dialect, tables.partner_quotas, put=("limit_minor", "used_minor"))


_PUT_BANK = Statement(_put_bank, *_BANK.keys())
_PUT_PARTNER = Statement(_put_partner, *_PARTNERS.keys())


def _change(table: Table, *of: str) -> Statement:
    c = table.c
    # The row is found and changed in one statement: what fits only once never passes twice.
    return Statement(
        update(table)
        .values(used_minor=c.used_minor + bindparam("change_"))
        .where(
            *(c[name] == bindparam(f"{name}_") for name in of),
            or_(
                bindparam("increase_", type_=c.used_minor.type) <= 0,
                c.used_minor + bindparam("fits_") <= c.limit_minor,
            ),
        ),
        "change_",
        *(f"{name}_" for name in of),
        "increase_",
        "fits_",
    )


_CHANGE_BANK = _change(tables.quotas, "scope", "currency")
_CHANGE_PARTNER = _change(tables.partner_quotas, "partner_id", "scope", "currency")
_KNOWN = Statement(
    union_all(
        select(_BANK.scope, _BANK.currency).where(_BANK.scope.in_(bindparam(KEYS, expanding=True))),
        select(_PARTNERS.scope, _PARTNERS.currency).where(
            _PARTNERS.scope.in_(bindparam(KEYS, expanding=True)),
            _PARTNERS.partner_id == bindparam("partner_id"),
        ),
    ),
    "partner_id",
)

# A quota is set beside orders that begin and end, and each has to count once: in the sum over the
# orders, or by what it adds to the quota's row. An order looks for that row last, after it has
# written everything else, and passes it over when it is not there.
#
# The row is put first. Who has touched it before us has committed by then, and is in the sum; who
# has yet to touch it waits for us, and adds to what we put. Those who pass it over are left, and
# only when it is new. A new row is committed, without a limit, before its sum is taken; so they
# had written their orders by then, and have to be waited for (`hold`):
#
# - PostgreSQL: the lock on the table waits for everybody who has written an order and not yet
#   committed. Who holds the row of a quota has written orders before: nobody waits in a circle.
# - MariaDB has no such lock within a transaction: the sum reads with shared locks, and so waits.
#   It may meet one who in turn waits for our row: the engine sees the circle, gives one of the two
#   up, and that is run again.
# - SQLite has one writer at a time.
_HOLDS = frozenset({"postgresql"})
_HOLD = Statement(text("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE"))
_SHARED = frozenset({"mysql", "mariadb"})


def _open_lines(*scope: ColumnElement[bool]) -> Statement:
    lines = (
        select(tables.order_lines)
        .select_from(
            tables.order_lines.join(
                tables.orders,
                (_ORDERS.order_id == _LINES.order_id) & (_ORDERS.partner_id == _LINES.partner_id),
            )
        )
        .where(
            one_of(_ORDERS.state, tables.OPEN_STATES),
            _ORDERS.currency == bindparam("currency"),
            *scope,
        )
    )

    return Statement(lines, "currency", *(("name",) if scope else ()))


_OPEN_LINES = {
    "total": _open_lines(),
    "business_line": _open_lines(_ORDERS.business_line == bindparam("name")),
    "partner": _open_lines(_ORDERS.partner_id == bindparam("name")),
    "product": _open_lines(_LINES.product_number == bindparam("name")),
}
_OF_BANK = frozenset({"total", "business_line"})


class QuotaRows:
    """Quotas."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waits: Lock | None = None

    def applicable(self, business_lines: Collection[str], partner_id: str) -> Sequence[Quota]:
        """Give the quotas that orders with a partner in these lines can count for."""
        scopes = ["total", *(f"business_line:{line}" for line in business_lines)]
        return [Quota(*row) for row in self._session.rows_by(_APPLICABLE, scopes, partner_id)]

    def list(self) -> Sequence[Quota]:
        """Give all quotas, ordered by scope and currency."""
        return [Quota(*row) for row in self._session.rows(_LIST)]

    def put(self, quota: Quota, partner_id: str | None) -> None:
        """Set a quota's limit and what is used of it."""
        row = quota.scope, quota.currency, quota.limit_minor, quota.used_minor
        if partner_id is None:
            self._session.run(_PUT_BANK, [row])
        else:
            self._session.run(_PUT_PARTNER, [(partner_id, *row)])

    def hold(self) -> None:
        """Let no order of anybody else begin or stop to count until the transaction ends."""
        self._session.check_writable()
        if self._session.engine in _SHARED:
            self._waits = Lock.KEEP
        elif self._session.engine in _HOLDS:
            self._session.run(_HOLD, [()])

    def change(self, changes: Mapping[str, Mapping[QuotaKey, int]]) -> None:
        """Add to what is used; `StaleWrite` when an increase no longer fits the limit."""
        bank: dict[QuotaKey, int] = {}
        partners: list[Row] = []
        for partner_id in sorted(changes):
            of_partner = changes[partner_id]
            scopes = [scope for scope, _ in of_partner]
            known = {(row[0], row[1]) for row in self._session.rows_by(_KNOWN, scopes, partner_id)}
            for key in sorted(known & of_partner.keys()):
                change = of_partner[key]
                if key[0].partition(":")[0] in _OF_BANK:
                    bank[key] = bank.get(key, 0) + change
                else:
                    partners.append((change, partner_id, *key, change, change))
        banks = [(change, *key, change, change) for key, change in sorted(bank.items())]
        self._session.change(_CHANGE_BANK, banks, "what an order was to fit, a quota,")
        self._session.change(_CHANGE_PARTNER, partners, "what an order was to fit, a quota,")

    def reserved(self, scope: str, currency: str) -> int:
        """Sum what open orders reserve in a scope, in minor units, from the orders themselves."""
        kind, _, name = scope.partition(":")
        rows = self._session.rows(
            _OPEN_LINES[kind], currency, *((name,) if name else ()), lock=self._waits
        )
        # Each line is rounded as the domain rounds it.
        return sum(order_line(row).reserved_minor for row in rows)
