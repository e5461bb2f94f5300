"""Sales partners, and when each is to be told next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select, update

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import micros, optional_instant, optional_micros
from consignment.adapters.sqlalchemy.statements import KEYS, Session, Statement
from consignment.domain.partner import Account
from consignment.domain.sales_partner import PushSchedule, SalesPartner

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from consignment.adapters.sqlalchemy.statements import Row

__all__ = ["SalesPartnerRows"]

_C = tables.sales_partners.c
_CHANGEABLE = (
    "name",
    "account_holder",
    "account_number",
    "account_bank",
    "account_currency",
    "cron",
    "timezone",
    "next_push_at",
    "pushed_until",
)

_ADD = Statement(insert(tables.sales_partners))
_GET = Statement(
    select(tables.sales_partners).where(_C.sales_partner_id.in_(bindparam(KEYS, expanding=True)))
)
_SAVE = Statement(
    update(tables.sales_partners)
    .values({**{name: bindparam(f"{name}_") for name in _CHANGEABLE}, "revision": _C.revision + 1})
    .where(_C.sales_partner_id == bindparam("id_"), _C.revision == bindparam("read_")),
    *(f"{name}_" for name in _CHANGEABLE),
    "id_",
    "read_",
)
_PUSH_DUE = Statement(
    select(tables.sales_partners)
    .where(_C.next_push_at <= bindparam("now"))
    .order_by(_C.next_push_at, _C.sales_partner_id)
    .limit(bindparam("limit")),
    "now",
    "limit",
)


class SalesPartnerRows:
    """Sales partners."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, sales_partner_ids: Collection[str]) -> dict[str, SalesPartner]:
        """Give those that exist, by id."""
        rows = self._session.rows_by(_GET, sales_partner_ids)
        return {row[0]: _sales_partner(row) for row in rows}

    def add(self, sales_partner: SalesPartner) -> None:
        """Add one."""
        row = (
            sales_partner.sales_partner_id,
            *_changeable(sales_partner),
            sales_partner.revision,
        )
        self._session.add(_ADD, [row])

    def save(self, sales_partner: SalesPartner) -> None:
        """Store a changed one."""
        key = sales_partner.sales_partner_id
        row = (*_changeable(sales_partner), key, sales_partner.revision)
        self._session.change(_SAVE, [row], f"sales partner {key}")

    def push_due(self, now: datetime, limit: int) -> Sequence[SalesPartner]:
        """Give those whose next push is due at `now`, the longest due first."""
        return [_sales_partner(row) for row in self._session.rows(_PUSH_DUE, micros(now), limit)]


def _changeable(sales_partner: SalesPartner) -> Row:
    account = sales_partner.account
    schedule = sales_partner.push_schedule
    return (
        sales_partner.name,
        account.holder,
        account.number,
        account.bank,
        account.currency,
        None if schedule is None else schedule.cron,
        None if schedule is None else schedule.timezone,
        optional_micros(sales_partner.next_push_at),
        optional_micros(sales_partner.pushed_until),
    )


def _sales_partner(row: Row) -> SalesPartner:
    key, name, holder, number, bank, currency, cron, timezone, next_at, until, revision = row
    return SalesPartner(
        key,
        name,
        Account(holder, number, bank, currency),
        None if cron is None else PushSchedule(cron, timezone),
        optional_instant(next_at),
        optional_instant(until),
        revision,
    )
