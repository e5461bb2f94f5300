"""Everything that a store holds, read past its adapter, and what must hold of it at any time."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from attrs import define, field
from sqlalchemy import StaticPool, create_engine, text
from sqlalchemy.engine import make_url

from consignment.domain.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from consignment.adapters.memory import MemoryLedger, MemoryStorage
    from consignment.adapters.memory.tables import Data

    Rows = Callable[[str], Iterable[dict[str, Any]]]

__all__ = ["Eye", "Snapshot", "check", "connect", "of_memory", "of_sqlite"]

#: Which states an order can go to from each state, in one step.
SUCCESSORS: dict[str | None, set[str]] = {
    None: {"placed"},
    "placed": {"dispatched", "accepted", "rejected", "cancelled", "expired"},
    "dispatched": {"accepted", "rejected", "cancelled", "expired"},
    "accepted": {"procuring", "on_sale", "completed", "cancelled"},
    "procuring": {"procuring", "on_sale", "completed"},
    "on_sale": {"on_sale", "completed"},
    "completed": {"settled"},
    "settled": {"closed"},
}
VOID = {"rejected", "cancelled", "expired"}
RELEASED = VOID | {"settled", "closed"}

LINE = (
    "ordered",
    "procured",
    "sold",
    "returned",
    "sent_back",
    "written_off",
    "settled",
    "gross_sales_minor",
    "returns_minor",
)
INSTANTS = ("first_sale_at", "last_sale_at", "last_report_at")
Line = dict[str, Any]
Row = tuple[Any, ...]


@define
class Snapshot:
    """What a store holds, as plain rows that can be compared with another store's."""

    orders: dict[str, dict[str, Any]] = field(factory=dict)
    lines: dict[tuple[str, str], Line] = field(factory=dict)
    products: dict[str, dict[str, Any]] = field(factory=dict)
    tallies: dict[tuple[str, str, str, str], dict[str, Any]] = field(factory=dict)
    quotas: dict[tuple[str, str], tuple[int, int]] = field(factory=dict)
    settlements: dict[tuple[str, int], int] = field(factory=dict)
    shares: dict[tuple[str, int, str], dict[str, Any]] = field(factory=dict)
    reports: dict[tuple[str, str], dict[str, Any]] = field(factory=dict)
    outbox: dict[str, dict[str, Any]] = field(factory=dict)
    facts: list[Row] = field(factory=list)
    partners: dict[str, tuple[str, int]] = field(factory=dict)
    sales_partners: dict[str, tuple[int | None, int | None]] = field(factory=dict)
    postings: list[Row] = field(factory=list)
    balances: dict[tuple[str, str], int] = field(factory=dict)


def _micros(at: Any) -> int | None:  # noqa: ANN401 - an instant or None
    return None if at is None else round(at.timestamp() * 1_000_000)


def of_memory(storage: MemoryStorage, ledger: MemoryLedger) -> Snapshot:
    """Read the tables of a memory store and its ledger."""
    data = storage._data
    shot = Snapshot()
    _orders_of_memory(data, shot)
    _profit_of_memory(data, shot)
    _events_of_memory(data, shot)
    for account in ledger.accounts:
        for posting in ledger.postings(account, limit=10**6):
            shot.postings.append(
                (posting.key, account, posting.amount.currency, posting.amount.minor)
            )
        for amount in ledger.balance(account):
            shot.balances[account, amount.currency] = amount.minor
    return shot


def _orders_of_memory(data: Data, shot: Snapshot) -> None:
    for order in data.orders.values():
        shot.orders[order.order_id] = {
            "partner_id": order.partner_id,
            "business_line": order.business_line,
            "sales_partner_id": order.sales_partner_id,
            "last_report_at": _micros(order.last_report_at),
            "currency": order.currency,
            "state": order.state.value,
            "revision": order.revision,
            "expenses": dict(order.expenses),
        }
        for line in order.lines:
            shot.lines[order.order_id, line.product_number] = {
                **{name: getattr(line, name) for name in LINE},
                "unit_places": line.unit_places,
                "agreed_price_minor": line.agreed_price_minor,
                "delivery_final": line.delivery_final,
                "procurement_cost_minor": line.procurement_cost_minor,
                "sent_back_credit_minor": line.sent_back_credit_minor,
                "first_sale_at": _micros(line.first_sale_at),
                "last_sale_at": _micros(line.last_sale_at),
            }
    for key, tally in data.tallies.items():
        shot.tallies[key] = {
            **{name: getattr(tally, name) for name in LINE},
            **{name: _micros(getattr(tally, name)) for name in INSTANTS},
        }
    for row in data.products.values():
        shot.products[row.product.number] = {
            **{name: getattr(row.tally, name) for name in LINE},
            "partner_id": row.product.partner_id,
            "name": row.product.name,
            "agreed_price_minor": row.product.agreed_price_minor,
            "revision": row.product.revision,
            **{name: _micros(getattr(row.tally, name)) for name in INSTANTS},
        }


def _profit_of_memory(data: Data, shot: Snapshot) -> None:
    for quota_row in data.quotas.values():
        quota = quota_row.quota
        shot.quotas[quota.scope, quota.currency] = quota.limit_minor, quota.used_minor
    for settlements in data.settlements.values():
        for each in settlements:
            shot.settlements[each.order_id, each.sequence] = each.pool_minor
            for share in each.shares:
                shot.shares[each.order_id, each.sequence, share.beneficiary] = {
                    "account": share.account,
                    "share_minor": share.share_minor,
                    "withheld_minor": share.withheld_minor,
                    "state": share.state.value,
                }


def _events_of_memory(data: Data, shot: Snapshot) -> None:
    for record in data.reports.values():
        shot.reports[record.partner_id, record.report_id] = {
            "kind": record.kind.value,
            "order_id": record.order_id,
            "outcome": record.outcome.value,
            "effect": [list(each) for each in record.effect],
            "pushed_slot": _micros(record.pushed_slot),
        }
    for entry in data.outbox.values():
        shot.outbox[entry.entry_id] = {
            "kind": "message" if isinstance(entry.intent, Message) else "credit",
            "stream": entry.intent.stream,
            "position": entry.position,
            "state": entry.state.value,
            "leased": entry.leased,
            "attempts": entry.attempts,
            "due_at": _micros(entry.due_at),
        }
    shot.facts = [
        (fact.kind.value, _micros(fact.at), fact.partner_id, fact.order_id, fact.actor, fact.data)
        for fact in data.facts.values()
    ]
    shot.partners = {
        each.partner_id: (each.status.value, each.revision) for each in data.partners.values()
    }
    shot.sales_partners = {
        each.sales_partner_id: (_micros(each.next_push_at), _micros(each.pushed_until))
        for each in data.sales_partners.values()
    }


def connect(file: Path) -> sqlite3.Connection:
    """Open a database of our own beside the store's connections."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def of_sqlite(connection: sqlite3.Connection) -> Snapshot:
    """Read the tables of a SQLite file in plain SQL."""

    def rows(select: str) -> Iterable[dict[str, Any]]:
        return (dict(row) for row in connection.execute(select))

    connection.execute("BEGIN")
    shot = _of_rows(rows)
    connection.execute("COMMIT")
    return shot


class Eye:
    """Looks at a database of any engine beside the store's connections, by plain SQL."""

    def __init__(self, url: str) -> None:
        plain = make_url(url)
        drivers = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
        driver = drivers.get(plain.drivername, plain.drivername)
        level = "REPEATABLE READ" if plain.drivername in drivers else "SERIALIZABLE"
        self._engine = create_engine(
            plain.set(drivername=driver), poolclass=StaticPool, isolation_level=level
        )

    def look(self) -> Snapshot:
        """Read the tables as of one instant."""
        with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                # The driver begins before writes only.
                connection.exec_driver_sql("BEGIN")

            def rows(select: str) -> Iterable[dict[str, Any]]:
                return (dict(row) for row in connection.execute(text(select)).mappings())

            return _of_rows(rows)

    def close(self) -> None:
        """Let go of the connection."""
        self._engine.dispose()


def _of_rows(rows: Rows) -> Snapshot:
    shot = Snapshot()
    _orders_of_rows(rows, shot)
    _profit_of_rows(rows, shot)
    _events_of_rows(rows, shot)
    return shot


def _orders_of_rows(rows: Rows, shot: Snapshot) -> None:
    for row in rows("SELECT * FROM orders"):
        shot.orders[row["order_id"]] = {
            **{name: row[name] for name in ("partner_id", "business_line", "currency", "state")},
            **{name: row[name] for name in ("sales_partner_id", "last_report_at", "revision")},
            "expenses": dict(json.loads(row["expenses"] or "[]")),
        }
    for row in rows("SELECT * FROM order_lines ORDER BY order_id, line_no"):
        shot.lines[row["order_id"], row["product_number"]] = {
            **{name: row[name] for name in LINE},
            "unit_places": row["unit_places"],
            "agreed_price_minor": row["agreed_price_minor"],
            "delivery_final": bool(row["delivery_final"]),
            "procurement_cost_minor": row["procurement_cost_minor"],
            "sent_back_credit_minor": row["sent_back_credit_minor"],
            "first_sale_at": row["first_sale_at"],
            "last_sale_at": row["last_sale_at"],
        }
    for row in rows("SELECT * FROM tallies"):
        scope = ("partner_id", "product_number", "sales_partner_id", "business_line")
        place = (*(row.pop(name) for name in scope),)
        shot.tallies[place] = row
    for row in rows("SELECT * FROM products"):
        shot.products[row["number"]] = {
            **{name: row[name] for name in LINE},
            **{
                name: row[name]
                for name in (
                    "partner_id",
                    "name",
                    "agreed_price_minor",
                    "revision",
                    *INSTANTS,
                )
            },
        }


def _profit_of_rows(rows: Rows, shot: Snapshot) -> None:
    for table in ("quotas", "partner_quotas"):
        for row in rows(f"SELECT * FROM {table}"):  # noqa: S608 - two tables of ours
            key = row["scope"], row["currency"]
            shot.quotas[key] = row["limit_minor"], row["used_minor"]
    for row in rows("SELECT * FROM settlements"):
        shot.settlements[row["order_id"], row["sequence"]] = row["pool_minor"]
    for row in rows("SELECT * FROM settlement_shares"):
        shot.shares[row["order_id"], row["sequence"], row["beneficiary"]] = {
            name: row[name] for name in ("account", "share_minor", "withheld_minor", "state")
        }


def _events_of_rows(rows: Rows, shot: Snapshot) -> None:
    for row in rows("SELECT * FROM reports"):
        shot.reports[row["partner_id"], row["report_id"]] = {
            **{name: row[name] for name in ("kind", "order_id", "outcome", "pushed_slot")},
            "effect": json.loads(row["effect"] or "[]"),
        }
    for row in rows("SELECT * FROM outbox"):
        shot.outbox[row["entry_id"]] = {
            **{
                name: row[name]
                for name in ("kind", "stream", "position", "state", "attempts", "due_at")
            },
            "leased": bool(row["leased"]),
        }
    shot.facts = [
        (
            row["kind"],
            row["at"],
            row["partner_id"],
            row["order_id"],
            row["actor"],
            json.loads(row["data"]),
        )
        for row in rows("SELECT * FROM journal ORDER BY entry_id, entry_no")
    ]
    shot.partners = {
        row["partner_id"]: (row["status"], row["revision"])
        for row in rows("SELECT * FROM partners")
    }
    shot.sales_partners = {
        row["sales_partner_id"]: (row["next_push_at"], row["pushed_until"])
        for row in rows("SELECT * FROM sales_partners")
    }
    shot.postings = [
        (row["entry_key"], row["account"], row["currency"], row["amount_minor"])
        for row in rows("SELECT * FROM ledger_postings ORDER BY account, entry_id, entry_no")
    ]
    for row in rows("SELECT * FROM ledger_balances"):
        key = row["account"], row["currency"]
        shot.balances[key] = shot.balances.get(key, 0) + row["balance_minor"]


def check(shot: Snapshot) -> None:
    """Assert everything that must hold of a store, whatever has happened."""
    _quantities(shot)
    _tallies(shot)
    _sales(shot)
    _quotas(shot)
    _ledger(shot)
    _settlements(shot)
    _outbox(shot)
    _journal(shot)


def _quantities(shot: Snapshot) -> None:
    """Nothing is sold that was not bought, or bought that was not ordered."""
    for key, line in shot.lines.items():
        net_sold = line["sold"] - line["returned"]
        assert 0 <= net_sold <= line["procured"] <= line["ordered"], key
        assert line["procured"] - net_sold - line["sent_back"] - line["written_off"] >= 0, key
        assert min(line[name] for name in LINE) >= 0, key


def _tallies(shot: Snapshot) -> None:
    """A tally, of a product in all and by scope, is the sum over the lines of its orders."""
    none: Line = {**dict.fromkeys(LINE, 0), **dict.fromkeys(INSTANTS)}
    sums: dict[str, Line] = dict.fromkeys(shot.products, none)
    by_scope: dict[tuple[str, str, str, str], Line] = {}
    for (order_id, number), line in shot.lines.items():
        order = shot.orders[order_id]
        counted = {**line, "last_report_at": order["last_report_at"]}
        if order["state"] in VOID:
            counted["ordered"] = 0
        sums[number] = _plus(sums[number], counted)
        scope = (
            order["partner_id"],
            number,
            order["sales_partner_id"],
            order["business_line"],
        )
        by_scope[scope] = _plus(by_scope.get(scope, none), counted)
    for number, product in shot.products.items():
        assert {name: product[name] for name in none} == sums[number], number
    assert shot.tallies == by_scope


def _plus(tally: Line, line: Line) -> Line:
    at = {name: [each[name] for each in (tally, line) if each[name]] for name in INSTANTS}
    return {
        **{name: tally[name] + line[name] for name in LINE},
        "first_sale_at": min(at["first_sale_at"], default=None),
        "last_sale_at": max(at["last_sale_at"], default=None),
        "last_report_at": max(at["last_report_at"], default=None),
    }


def _sales(shot: Snapshot) -> None:
    """What a line has sold is what the reports that were taken say."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for report in shot.reports.values():
        if report["outcome"] == "taken":
            first = 0 if report["kind"] == "goods.sold" else 2
            for number, count, value in report["effect"]:
                sums[report["order_id"], number][first] += count
                sums[report["order_id"], number][first + 1] += value
        else:
            assert report["effect"] == []
    for key, line in shot.lines.items():
        told = [line["sold"], line["gross_sales_minor"], line["returned"], line["returns_minor"]]
        assert sums.get(key, [0, 0, 0, 0]) == told, key


def _quotas(shot: Snapshot) -> None:
    """What is used of a quota is what open orders reserve."""
    used: dict[tuple[str, str], int] = defaultdict(int)
    for (order_id, number), line in shot.lines.items():
        order = shot.orders[order_id]
        if order["state"] in RELEASED:
            continue
        count = line["ordered"] - line["settled"] - line["sent_back"]
        if line["delivery_final"]:
            count -= line["ordered"] - line["procured"]
        unit = 10 ** line["unit_places"]
        amount = (2 * count * line["agreed_price_minor"] + unit) // (2 * unit)
        for scope in (
            "total",
            f"business_line:{order['business_line']}",
            f"partner:{order['partner_id']}",
            f"product:{number}",
        ):
            used[scope, order["currency"]] += amount
    for key, (_, told) in shot.quotas.items():
        assert told == used.get(key, 0), key


def _ledger(shot: Snapshot) -> None:
    """Money is moved, never made: each entry and each currency sums to zero."""
    by_key: dict[str, list[int]] = defaultdict(list)
    by_account: dict[tuple[str, str], int] = defaultdict(int)
    for key, account, currency, minor in shot.postings:
        by_key[key].append(minor)
        by_account[account, currency] += minor
    for key, amounts in by_key.items():
        assert len(amounts) == 2, key
        assert sum(amounts) == 0, key
    assert shot.balances == dict(by_account)
    totals: dict[str, int] = defaultdict(int)
    for (_, currency), minor in shot.balances.items():
        totals[currency] += minor
    assert not any(totals.values())
    assert all(minor >= 0 for (account, _), minor in shot.balances.items() if account[0] in "sb")


def _settlements(shot: Snapshot) -> None:
    """Shares add up to the pool, and each is credited at most once, to the cent."""
    credited = {(key, account): minor for key, account, _, minor in shot.postings}
    assert len(credited) == len(shot.postings)
    pools: dict[tuple[str, int], int] = defaultdict(int)
    open_shares: dict[str, int] = defaultdict(int)
    for (order_id, sequence, beneficiary), share in shot.shares.items():
        pools[order_id, sequence] += share["share_minor"]
        payable = share["share_minor"] - share["withheld_minor"]
        key = f"{order_id}:{sequence}:{beneficiary}"
        received = credited.pop((key, share["account"]), None)
        paid = credited.pop((key, f"partner:{shot.orders[order_id]['partner_id']}"), None)
        state = share["state"]
        if state == "kept":
            assert beneficiary == "partner"
        if state == "nothing":
            assert payable == 0
        if state == "credited":
            assert received == payable
        # The ledger may know of a credit before the desk does, never the other way round.
        assert received in {None, payable}
        assert paid == (None if received is None else -received)
        entry = shot.outbox.get(key)
        if state in {"kept", "nothing"}:
            assert entry is None
        else:
            assert entry is not None
            wanted = {"due": "waiting", "credited": "done", "set_aside": "set_aside"}
            assert entry["state"] == wanted[state]
        open_shares[order_id] += state in {"due", "set_aside"}
    assert not credited, "a credit without a share"
    assert dict(pools) == shot.settlements
    for order_id, order in shot.orders.items():
        settled = (order_id, 1) in shot.settlements
        assert settled == (order["state"] in {"settled", "closed"}), order_id
        if settled:
            assert (open_shares[order_id] == 0) == (order["state"] == "closed"), order_id


def _outbox(shot: Snapshot) -> None:
    """Every order was told of once; tries and leases fit the state."""
    for order_id in shot.orders:
        assert f"{order_id.replace(':', '~')}~placed" in shot.outbox
    for entry_id, entry in shot.outbox.items():
        if entry["state"] != "waiting":
            assert not entry["leased"], entry_id
            assert entry["attempts"] >= 1, entry_id


def _journal(shot: Snapshot) -> None:
    """The facts about an order lead from state to state, without a jump, to the one it is in."""
    states: dict[str, str] = {}
    for kind, _, _, order_id, _, data in shot.facts:
        before = states.get(order_id)
        after = {
            "order_placed": "placed",
            "order_dispatched": "dispatched" if before == "placed" else before,
            "order_cancelled": "cancelled",
            "order_expired": "expired",
            "order_short_closed": "on_sale",
            "report_taken": data.get("state"),
            "order_settled": "settled",
            "order_closed": "closed",
        }.get(kind, before)
        if after is None or after == before:
            continue
        assert after in SUCCESSORS[before], (order_id, before, after)
        states[order_id] = after
    assert states == {order_id: order["state"] for order_id, order in shot.orders.items()}
