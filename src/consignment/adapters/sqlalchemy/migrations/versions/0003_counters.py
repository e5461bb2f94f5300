"""Tallies by scope, filled from the orders; and one rule for a scope and date.

It may be run again after it was broken off half-way: an engine that commits each change of the
schema by itself (MariaDB) finds the tables there, and they are filled anew.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import op

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTS = (
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


# A migration stands by itself: what a later release does to the types in `tables` is not its
# concern.
def _id(length: int = 64) -> TypeEngine[str]:
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="utf8mb4_nopad_bin"), "mariadb")
        .with_variant(sa.String(length, collation="C"), "postgresql")
    )


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("product_number", _id(64), nullable=False),
        sa.Column("sales_partner_id", _id(64), nullable=False),
        sa.Column("business_line", _id(64), nullable=False),
        *map(_count, _COUNTS),
        sa.Column("first_sale_at", sa.BigInteger(), nullable=True),
        sa.Column("last_sale_at", sa.BigInteger(), nullable=True),
        sa.Column("last_report_at", sa.BigInteger(), nullable=True),
        *(
            sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck_tallies_{name}_not_negative"))
            for name in _COUNTS
        ),
        sa.CheckConstraint("returned <= sold", name=op.f("ck_tallies_returned_within_sold")),
        sa.CheckConstraint("procured <= ordered", name=op.f("ck_tallies_procured_within_ordered")),
        sa.CheckConstraint(
            "procured - sold + returned - sent_back - written_off >= 0",
            name=op.f("ck_tallies_unsold_not_negative"),
        ),
        sa.CheckConstraint(
            "ordered <= 9000000000000000000 AND sold <= 9000000000000000000 "
            "AND gross_sales_minor <= 9000000000000000000 AND returns_minor <= 9000000000000000000",
            name=op.f("ck_tallies_tally_exact"),
        ),
        sa.PrimaryKeyConstraint(
            "partner_id",
            "product_number",
            "sales_partner_id",
            "business_line",
            name=op.f("pk_tallies"),
        ),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_index(
        "ix_tallies_sales_partner_id", "tallies", ["sales_partner_id"], if_not_exists=True
    )
    op.create_index("ix_tallies_business_line", "tallies", ["business_line"], if_not_exists=True)
    op.create_table(
        "rule_dates",
        sa.Column("scope", _id(80), nullable=False),
        sa.Column("effective_from", sa.String(10), nullable=False),
        sa.Column("rule_id", _id(64), nullable=False),
        sa.PrimaryKeyConstraint("scope", "effective_from", name=op.f("pk_rule_dates")),
        info={"placement": "reference"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    _fill_tallies()
    _fill_rule_dates()


def _fill_tallies() -> None:
    summed = ", ".join(f"SUM(l.{name})" for name in _COUNTS[1:])
    op.execute("DELETE FROM tallies")
    op.execute(
        f"""
        INSERT INTO tallies (
            partner_id, product_number, sales_partner_id, business_line, {", ".join(_COUNTS)},
            first_sale_at, last_sale_at, last_report_at
        )
        SELECT
            l.partner_id, l.product_number, o.sales_partner_id, o.business_line,
            SUM(CASE WHEN o.state IN ('rejected', 'cancelled', 'expired') THEN 0
                ELSE l.ordered END),
            {summed}, MIN(l.first_sale_at), MAX(l.last_sale_at), MAX(o.last_report_at)
        FROM order_lines l
        JOIN orders o ON o.order_id = l.order_id AND o.partner_id = l.partner_id
        GROUP BY l.partner_id, l.product_number, o.sales_partner_id, o.business_line
        """  # noqa: S608 - names of columns
    )
    # A report on an order is one on each of its products, also where it changed no count of them.
    op.execute(
        """
        UPDATE products SET last_report_at = (
            SELECT MAX(t.last_report_at) FROM tallies t
            WHERE t.partner_id = products.partner_id AND t.product_number = products.number
        )
        WHERE EXISTS (
            SELECT 1 FROM tallies t
            WHERE t.partner_id = products.partner_id AND t.product_number = products.number
        )
        """
    )


def _fill_rule_dates() -> None:
    rules = sa.table("rules", *map(sa.column, ("rule_id", "version", "scope", "content")))
    dates = sa.table("rule_dates", *map(sa.column, ("scope", "effective_from", "rule_id")))
    connection = op.get_bind()
    held: dict[tuple[str, str], str] = {}
    stored = connection.execute(
        sa.select(rules.c.rule_id, rules.c.scope, rules.c.content).order_by(
            rules.c.rule_id, rules.c.version
        )
    )
    for rule_id, scope, content in stored:
        held.setdefault((scope, json.loads(content)["effective_from"]), rule_id)
    connection.execute(sa.delete(dates))
    if held:
        connection.execute(
            sa.insert(dates),
            [
                {"scope": scope, "effective_from": day, "rule_id": rule_id}
                for (scope, day), rule_id in held.items()
            ],
        )


def downgrade() -> None:
    op.drop_table("rule_dates")
    op.drop_table("tallies")
