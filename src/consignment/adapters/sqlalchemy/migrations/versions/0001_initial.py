"""The whole schema, as of the first release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# A migration stands by itself: what a later release does to the types in `tables` is not its
# concern.
def _id(length: int = 64) -> TypeEngine[str]:
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="utf8mb4_nopad_bin"), "mariadb")
        .with_variant(sa.String(length, collation="C"), "postgresql")
    )


def _long_id() -> TypeEngine[str]:
    return (
        sa.Text()
        .with_variant(sa.Text(collation="utf8mb4_nopad_bin"), "mariadb")
        .with_variant(sa.Text(collation="C"), "postgresql")
    )


def _text() -> TypeEngine[str]:
    # MariaDB's TEXT ends at 64 KB.
    return sa.Text().with_variant(LONGTEXT(), "mariadb")


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("request_id", _id(64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("content", _text(), nullable=False),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_decisions_sequence_positive")),
        sa.PrimaryKeyConstraint("request_id", "sequence", "partner_id", name=op.f("pk_decisions")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_table(
        "demands",
        sa.Column("demand_id", _id(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("order_ids", _text(), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("demand_id", name=op.f("pk_demands")),
        info={"placement": "bank"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "journal",
        sa.Column("entry_id", _id(32), nullable=False),
        sa.Column("entry_no", sa.Integer(), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("order_id", _id(129), nullable=True),
        sa.Column("actor", sa.String(200), nullable=True),
        sa.Column("data", _text(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "entry_no", "partner_id", name=op.f("pk_journal")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_index(
        "ix_journal_order_id",
        "journal",
        ["order_id"],
        unique=False,
        sqlite_where=sa.text("order_id IS NOT NULL"),
        postgresql_where=sa.text("order_id IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "ledger_balances",
        sa.Column("account", _id(80), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "balance_minor BETWEEN -9000000000000000000 AND 9000000000000000000",
            name=op.f("ck_ledger_balances_balance_exact"),
        ),
        sa.PrimaryKeyConstraint(
            "account", "currency", "partner_id", name=op.f("pk_ledger_balances")
        ),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "ledger_entries",
        sa.Column("entry_key", _id(256), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("order_id", _id(129), nullable=False),
        sa.Column("settlement_id", _id(140), nullable=False),
        sa.Column("instructed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_key", "partner_id", name=op.f("pk_ledger_entries")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "outbox",
        sa.Column("entry_id", _id(512), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("stream", _id(256), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("leased", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", _text(), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("intent", _text(), nullable=False),
        sa.Column("claim_at", sa.BigInteger(), nullable=True),
        sa.Column("holds_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_outbox_attempts_not_negative")),
        sa.PrimaryKeyConstraint("entry_id", "partner_id", name=op.f("pk_outbox")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_index(
        "ix_outbox_kind_claim_at_position_entry_id",
        "outbox",
        ["kind", "claim_at", "position", "entry_id"],
        unique=False,
        sqlite_where=sa.text("claim_at IS NOT NULL"),
        postgresql_where=sa.text("claim_at IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_index(
        "ix_outbox_partner_id_stream_holds_at",
        "outbox",
        ["partner_id", "stream", "holds_at"],
        unique=False,
        sqlite_where=sa.text("holds_at IS NOT NULL"),
        postgresql_where=sa.text("holds_at IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "partner_quotas",
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("scope", _id(80), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("limit_minor", sa.BigInteger(), nullable=False),
        sa.Column("used_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "limit_minor >= 0", name=op.f("ck_partner_quotas_limit_minor_not_negative")
        ),
        sa.CheckConstraint(
            "used_minor >= 0", name=op.f("ck_partner_quotas_used_minor_not_negative")
        ),
        sa.PrimaryKeyConstraint("partner_id", "scope", "currency", name=op.f("pk_partner_quotas")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "partners",
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("registration_number", _id(18), nullable=False),
        sa.Column("account_holder", sa.String(200), nullable=False),
        sa.Column("account_number", sa.String(64), nullable=False),
        sa.Column("account_bank", sa.String(64), nullable=False),
        sa.Column("account_currency", sa.String(3), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("admissions", _text(), nullable=False),
        sa.Column("exited_for_cause", sa.Boolean(), nullable=False),
        sa.Column("review_on", sa.String(10), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", name=op.f("pk_partners")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_table(
        "policies",
        sa.Column("version", _id(64), nullable=False),
        sa.Column("entry_id", _id(32), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("content", _text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_policies")),
        info={"placement": "reference"},
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_table(
        "product_numbers",
        sa.Column("number", _id(64), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_product_numbers")),
        info={"placement": "bank"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "quotas",
        sa.Column("scope", _id(80), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("limit_minor", sa.BigInteger(), nullable=False),
        sa.Column("used_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("limit_minor >= 0", name=op.f("ck_quotas_limit_minor_not_negative")),
        sa.CheckConstraint("used_minor >= 0", name=op.f("ck_quotas_used_minor_not_negative")),
        sa.PrimaryKeyConstraint("scope", "currency", name=op.f("pk_quotas")),
        info={"placement": "bank"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "registrations",
        sa.Column("registration_number", _id(18), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.PrimaryKeyConstraint("registration_number", name=op.f("pk_registrations")),
        info={"placement": "bank"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "reports",
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("report_id", _id(128), nullable=False),
        sa.Column("entry_id", _id(32), nullable=False),
        sa.Column("entry_no", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("order_id", _id(200), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reasons", _text(), nullable=True),
        sa.Column("details", _text(), nullable=True),
        sa.Column("sales_partner_id", _id(64), nullable=True),
        sa.Column("effect", _text(), nullable=True),
        sa.Column("pushed_slot", sa.BigInteger(), nullable=True),
        sa.Column("push_to", _id(64), nullable=True),
        sa.PrimaryKeyConstraint("partner_id", "report_id", name=op.f("pk_reports")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_index(
        "ix_reports_partner_id_order_id",
        "reports",
        ["partner_id", "order_id"],
        unique=False,
        sqlite_where=sa.text("order_id IS NOT NULL"),
        postgresql_where=sa.text("order_id IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_index(
        "ix_reports_push_to",
        "reports",
        ["push_to"],
        unique=False,
        sqlite_where=sa.text("push_to IS NOT NULL"),
        postgresql_where=sa.text("push_to IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "rules",
        sa.Column("rule_id", _id(64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("scope", _id(80), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("content", _text(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_rules_version_positive")),
        sa.PrimaryKeyConstraint("rule_id", "version", name=op.f("pk_rules")),
        info={"placement": "reference"},
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_index("ix_rules_scope", "rules", ["scope"], unique=False, if_not_exists=True)
    op.create_table(
        "sales_partners",
        sa.Column("sales_partner_id", _id(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("account_holder", sa.String(200), nullable=False),
        sa.Column("account_number", sa.String(64), nullable=False),
        sa.Column("account_bank", sa.String(64), nullable=False),
        sa.Column("account_currency", sa.String(3), nullable=False),
        sa.Column("cron", sa.String(200), nullable=True),
        sa.Column("timezone", sa.String(64), nullable=True),
        sa.Column("next_push_at", sa.BigInteger(), nullable=True),
        sa.Column("pushed_until", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sales_partner_id", name=op.f("pk_sales_partners")),
        info={"placement": "bank"},
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_index(
        "ix_sales_partners_next_push_at",
        "sales_partners",
        ["next_push_at"],
        unique=False,
        if_not_exists=True,
    )
    op.create_table(
        "ledger_postings",
        sa.Column("account", _id(80), nullable=False),
        sa.Column("entry_id", _id(32), nullable=False),
        sa.Column("entry_no", sa.Integer(), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("entry_key", _id(256), nullable=False),
        sa.Column("counter_account", _id(80), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "account <> counter_account", name=op.f("ck_ledger_postings_accounts_differ")
        ),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_ledger_postings_amount_not_zero")),
        sa.ForeignKeyConstraint(
            ["entry_key", "partner_id"],
            ["ledger_entries.entry_key", "ledger_entries.partner_id"],
            name=op.f("fk_ledger_postings_ledger_entries"),
        ),
        sa.PrimaryKeyConstraint(
            "account", "entry_id", "entry_no", "partner_id", name=op.f("pk_ledger_postings")
        ),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "orders",
        sa.Column("order_id", _id(129), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("demand_id", _id(64), nullable=False),
        sa.Column("business_line", _id(64), nullable=False),
        sa.Column("sales_partner_id", _id(64), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("dispatched_at", sa.BigInteger(), nullable=True),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.String(500), nullable=True),
        sa.Column("last_report_at", sa.BigInteger(), nullable=True),
        sa.Column("expenses", _text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partners.partner_id"], name=op.f("fk_orders_partners")
        ),
        sa.PrimaryKeyConstraint("order_id", "partner_id", name=op.f("pk_orders")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_index(
        "ix_orders_partner_id_accepted_at",
        "orders",
        ["partner_id", "accepted_at"],
        unique=False,
        sqlite_where=sa.text("accepted_at IS NOT NULL"),
        postgresql_where=sa.text("accepted_at IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_index(
        "ix_orders_sales_partner_id",
        "orders",
        ["sales_partner_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('accepted', 'procuring', 'on_sale')"),
        postgresql_where=sa.text("state IN ('accepted', 'procuring', 'on_sale')"),
        if_not_exists=True,
    )
    op.create_index(
        "ix_orders_state_order_id",
        "orders",
        ["state", "order_id"],
        unique=False,
        if_not_exists=True,
    )
    op.create_table(
        "products",
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("number", _id(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("name_key", _long_id(), nullable=False),
        sa.Column("unit", _id(16), nullable=False),
        sa.Column("unit_places", sa.SmallInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("agreed_price_minor", sa.BigInteger(), nullable=False),
        sa.Column("gtin", sa.String(14), nullable=True),
        sa.Column("category", sa.String(100), nullable=True),
        sa.Column("on_sale_from", sa.String(10), nullable=True),
        sa.Column("on_sale_until", sa.String(10), nullable=True),
        sa.Column("attributes", _text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("ordered", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("procured", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sold", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("returned", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sent_back", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("written_off", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("settled", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "gross_sales_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("returns_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("first_sale_at", sa.BigInteger(), nullable=True),
        sa.Column("last_sale_at", sa.BigInteger(), nullable=True),
        sa.Column("last_report_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "agreed_price_minor >= 0", name=op.f("ck_products_agreed_price_minor_not_negative")
        ),
        sa.CheckConstraint(
            "gross_sales_minor >= 0", name=op.f("ck_products_gross_sales_minor_not_negative")
        ),
        sa.CheckConstraint("ordered >= 0", name=op.f("ck_products_ordered_not_negative")),
        sa.CheckConstraint(
            "procured - sold + returned - sent_back - written_off >= 0",
            name=op.f("ck_products_unsold_not_negative"),
        ),
        sa.CheckConstraint("procured <= ordered", name=op.f("ck_products_procured_within_ordered")),
        sa.CheckConstraint("procured >= 0", name=op.f("ck_products_procured_not_negative")),
        sa.CheckConstraint("returned <= sold", name=op.f("ck_products_returned_within_sold")),
        sa.CheckConstraint("returned >= 0", name=op.f("ck_products_returned_not_negative")),
        sa.CheckConstraint(
            "returns_minor >= 0", name=op.f("ck_products_returns_minor_not_negative")
        ),
        sa.CheckConstraint("sent_back >= 0", name=op.f("ck_products_sent_back_not_negative")),
        sa.CheckConstraint("settled >= 0", name=op.f("ck_products_settled_not_negative")),
        sa.CheckConstraint("sold >= 0", name=op.f("ck_products_sold_not_negative")),
        sa.CheckConstraint(
            "ordered <= 9000000000000000000 AND sold <= 9000000000000000000 "
            "AND gross_sales_minor <= 9000000000000000000 AND returns_minor <= 9000000000000000000",
            name=op.f("ck_products_tally_exact"),
        ),
        sa.CheckConstraint(
            "unit_places BETWEEN 0 AND 6", name=op.f("ck_products_unit_places_known")
        ),
        sa.CheckConstraint("written_off >= 0", name=op.f("ck_products_written_off_not_negative")),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partners.partner_id"], name=op.f("fk_products_partners")
        ),
        sa.PrimaryKeyConstraint("partner_id", "number", name=op.f("pk_products")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_index(
        "ix_products_name_key",
        "products",
        ["name_key", "number"],
        unique=False,
        mariadb_length={"name_key": 200},
        if_not_exists=True,
    )
    op.create_table(
        "order_lines",
        sa.Column("order_id", _id(129), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("product_number", _id(64), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("ordered", sa.BigInteger(), nullable=False),
        sa.Column("unit_places", sa.SmallInteger(), nullable=False),
        sa.Column("agreed_price_minor", sa.BigInteger(), nullable=False),
        sa.Column("procured", sa.BigInteger(), nullable=False),
        sa.Column("sold", sa.BigInteger(), nullable=False),
        sa.Column("returned", sa.BigInteger(), nullable=False),
        sa.Column("sent_back", sa.BigInteger(), nullable=False),
        sa.Column("written_off", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=False),
        sa.Column("delivery_final", sa.Boolean(), nullable=False),
        sa.Column("procurement_cost_minor", sa.BigInteger(), nullable=False),
        sa.Column("sent_back_credit_minor", sa.BigInteger(), nullable=False),
        sa.Column("gross_sales_minor", sa.BigInteger(), nullable=False),
        sa.Column("returns_minor", sa.BigInteger(), nullable=False),
        sa.Column("first_sale_at", sa.BigInteger(), nullable=True),
        sa.Column("last_sale_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "agreed_price_minor >= 0", name=op.f("ck_order_lines_agreed_price_minor_not_negative")
        ),
        sa.CheckConstraint(
            "gross_sales_minor >= 0", name=op.f("ck_order_lines_gross_sales_minor_not_negative")
        ),
        sa.CheckConstraint("ordered >= 0", name=op.f("ck_order_lines_ordered_not_negative")),
        sa.CheckConstraint(
            "procured - sold + returned - sent_back - written_off >= 0",
            name=op.f("ck_order_lines_unsold_not_negative"),
        ),
        sa.CheckConstraint(
            "procured <= ordered", name=op.f("ck_order_lines_procured_within_ordered")
        ),
        sa.CheckConstraint("procured >= 0", name=op.f("ck_order_lines_procured_not_negative")),
        sa.CheckConstraint(
            "procurement_cost_minor >= 0",
            name=op.f("ck_order_lines_procurement_cost_minor_not_negative"),
        ),
        sa.CheckConstraint("returned <= sold", name=op.f("ck_order_lines_returned_within_sold")),
        sa.CheckConstraint("returned >= 0", name=op.f("ck_order_lines_returned_not_negative")),
        sa.CheckConstraint(
            "returns_minor >= 0", name=op.f("ck_order_lines_returns_minor_not_negative")
        ),
        sa.CheckConstraint("sent_back >= 0", name=op.f("ck_order_lines_sent_back_not_negative")),
        sa.CheckConstraint(
            "sent_back_credit_minor >= 0",
            name=op.f("ck_order_lines_sent_back_credit_minor_not_negative"),
        ),
        sa.CheckConstraint("settled >= 0", name=op.f("ck_order_lines_settled_not_negative")),
        sa.CheckConstraint("sold >= 0", name=op.f("ck_order_lines_sold_not_negative")),
        sa.CheckConstraint(
            "written_off >= 0", name=op.f("ck_order_lines_written_off_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["order_id", "partner_id"],
            ["orders.order_id", "orders.partner_id"],
            name=op.f("fk_order_lines_orders"),
        ),
        sa.PrimaryKeyConstraint(
            "order_id", "partner_id", "product_number", name=op.f("pk_order_lines")
        ),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "settlements",
        sa.Column("order_id", _id(129), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("settlement_id", _id(140), nullable=False),
        sa.Column("sales_partner_id", _id(64), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=False),
        sa.Column("net_sales_minor", sa.BigInteger(), nullable=False),
        sa.Column("cost_of_goods_minor", sa.BigInteger(), nullable=False),
        sa.Column("deductions", _text(), nullable=False),
        sa.Column("base_minor", sa.BigInteger(), nullable=False),
        sa.Column("pool_minor", sa.BigInteger(), nullable=False),
        sa.Column("rules", _text(), nullable=False),
        sa.Column("explanation", _text(), nullable=False),
        sa.CheckConstraint("pool_minor >= 0", name=op.f("ck_settlements_pool_minor_not_negative")),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_settlements_sequence_positive")),
        sa.ForeignKeyConstraint(
            ["order_id", "partner_id"],
            ["orders.order_id", "orders.partner_id"],
            name=op.f("fk_settlements_orders"),
        ),
        sa.PrimaryKeyConstraint("order_id", "sequence", "partner_id", name=op.f("pk_settlements")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        if_not_exists=True,
    )
    op.create_table(
        "settlement_shares",
        sa.Column("order_id", _id(129), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("beneficiary", _id(80), nullable=False),
        sa.Column("share_no", sa.Integer(), nullable=False),
        sa.Column("account", _id(80), nullable=False),
        sa.Column("share_minor", sa.BigInteger(), nullable=False),
        sa.Column("withheld_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.CheckConstraint(
            "share_minor >= 0", name=op.f("ck_settlement_shares_share_minor_not_negative")
        ),
        sa.CheckConstraint(
            "withheld_minor <= share_minor", name=op.f("ck_settlement_shares_withheld_within_share")
        ),
        sa.CheckConstraint(
            "withheld_minor >= 0", name=op.f("ck_settlement_shares_withheld_minor_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["order_id", "sequence", "partner_id"],
            ["settlements.order_id", "settlements.sequence", "settlements.partner_id"],
            name=op.f("fk_settlement_shares_settlements"),
        ),
        sa.PrimaryKeyConstraint(
            "order_id", "sequence", "partner_id", "beneficiary", name=op.f("pk_settlement_shares")
        ),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
        if_not_exists=True,
    )


def downgrade() -> None:
    for table in (
        "settlement_shares",
        "settlements",
        "order_lines",
        "products",
        "orders",
        "ledger_postings",
        "sales_partners",
        "rules",
        "reports",
        "registrations",
        "quotas",
        "product_numbers",
        "policies",
        "partners",
        "partner_quotas",
        "outbox",
        "ledger_entries",
        "ledger_balances",
        "journal",
        "demands",
        "decisions",
    ):
        op.drop_table(table)
