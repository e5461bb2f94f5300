"""The migration that makes the counters fills them from what is there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from attrs import evolve
from sqlalchemy import create_engine

from consignment.adapters.sqlalchemy import SqlStorage, upgrade
from consignment.domain.order import OrderState
from consignment.domain.progress import tally_changes
from consignment.testing.builders import (
    NOW,
    a_line,
    a_partner,
    a_product,
    a_rule,
    an_order,
)

if TYPE_CHECKING:
    from pathlib import Path

    from consignment.ports.storage import Transaction

_TABLES = {
    "tallies": "1, 2, 3, 4",
    "rule_dates": "1, 2",
    "products": "partner_id, number",
}


def _fill(t: Transaction) -> None:
    for partner_id in ("green-farm", "other-farm"):
        t.partners.add(a_partner(partner_id))
    t.products.add([a_product(), a_product("PEAR"), a_product("PLUM", "other-farm")])
    t.products.add([a_product("NEVER")])
    sold = a_line(
        procured=8, sold=5, returned=1, gross_sales_minor=300, returns_minor=60, settled=2
    )
    sold = evolve(sold, first_sale_at=NOW, last_sale_at=NOW + timedelta(hours=1))
    orders = [
        an_order("D-1", "green-farm", sold, a_line("PEAR", 3), last_report_at=NOW),
        an_order("D-2", "green-farm", evolve(sold, first_sale_at=NOW - timedelta(hours=1))),
        an_order("D-3", sales_partner_id="sp-wang", business_line="corporate"),
        an_order("D-4", state=OrderState.CANCELLED, last_report_at=NOW + timedelta(days=1)),
        an_order("D-5", "other-farm", a_line("PLUM", 7)),
    ]
    t.orders.add(orders)
    t.products.tally(
        [
            change
            for order in orders
            for change in tally_changes(None, evolve(order, state=OrderState.ACCEPTED))
        ]
    )
    t.products.tally(
        [
            change
            for order in orders
            if order.state is OrderState.CANCELLED
            for change in tally_changes(evolve(order, state=OrderState.ACCEPTED), order)
        ]
    )
    t.rules.add(a_rule("a"), NOW)
    t.rules.add(a_rule("a", 2), NOW)
    t.rules.add(a_rule("a", 3, effective_from=date(2027, 1, 1)), NOW)
    t.rules.add(a_rule("b", scope="product:APPLE"), NOW)


def _rows(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY {key}").fetchall()  # noqa: S608 - names of tables
            for name, key in _TABLES.items()
        }


def _made(tmp_path: Path) -> Path:
    path = tmp_path / "desk.db"
    upgrade(f"sqlite:///{path}")
    storage = SqlStorage.open(f"sqlite:///{path}")
    storage.write(_fill)
    storage.close()
    return path


def test_the_counters_are_filled_from_the_orders(tmp_path: Path) -> None:
    """What an upgrade fills in is what would have been counted all along."""
    path = _made(tmp_path)
    counted = _rows(path)
    assert len(counted["tallies"]) == 4
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "consignment.adapters.sqlalchemy:migrations")
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
        # As it was before: of a report that changed no count, the product's row knew nothing.
        connection.exec_driver_sql("UPDATE products SET last_report_at = NULL")
    engine.dispose()
    upgrade(f"sqlite:///{path}")
    assert _rows(path) == counted


def test_an_upgrade_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    """Tables that are there already, and half filled, are filled anew."""
    path = _made(tmp_path)
    counted = _rows(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE consignment_version SET version_num = '0002'")
        connection.execute("UPDATE tallies SET ordered = ordered + 1")
        connection.execute("DELETE FROM tallies WHERE product_number = 'PEAR'")
        connection.execute("DELETE FROM rule_dates WHERE scope = 'all'")
        connection.execute("DROP INDEX ix_tallies_business_line")
        connection.commit()
    upgrade(f"sqlite:///{path}")
    assert _rows(path) == counted
