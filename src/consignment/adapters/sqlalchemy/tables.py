"""The tables, portable to SQLite, PostgreSQL and MariaDB, and shardable by partner.

Each table says in `info["placement"]` where its rows live when the data are spread:

- `partner`: beside the other rows of the same partner. `partner_id` stands in the primary key and
  in every unique and foreign key, is never null and never changes.
- `reference`: small, rarely written, copied to every place.
- `bank`: one place for the whole bank. No partner's row refers to it by a foreign key.

Instants are whole microseconds since 1970-01-01 UTC, days are ISO text (`2026-07-18`), amounts are
minor units, counts are a product's smallest units, and nested content is JSON text. Ids, instants
and positions are made in Python, so a statement has the same effect wherever it is carried out.

Partial indexes keep rows out of an index which no query finds through it: MariaDB, which has none,
indexes all rows instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    event,
    text,
)
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Connection
    from sqlalchemy.sql.compiler import DDLCompiler
    from sqlalchemy.types import TypeEngine

__all__ = [
    "COUNTS",
    "GOODS_MOVE",
    "OPEN_STATES",
    "decisions",
    "demands",
    "journal",
    "ledger_balances",
    "ledger_entries",
    "ledger_postings",
    "metadata",
    "name_forms",
    "name_tails",
    "order_lines",
    "orders",
    "outbox",
    "partner_quotas",
    "partners",
    "policies",
    "product_numbers",
    "products",
    "quotas",
    "registrations",
    "reports",
    "rule_dates",
    "rules",
    "sales_partners",
    "settlement_shares",
    "settlements",
    "tallies",
]

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

#: Order states that reserve quota, and those in which goods move, as SQL lists them.
OPEN_STATES: Final = ("placed", "dispatched", "accepted", "procuring", "on_sale", "completed")
GOODS_MOVE: Final = ("accepted", "procuring", "on_sale")


def _id(length: int = 64) -> TypeEngine[str]:
    # Ids differ by case and are ordered by code point, whatever an engine does by itself.
    return (
        String(length)
        .with_variant(String(length, collation="utf8mb4_nopad_bin"), "mariadb")
        .with_variant(String(length, collation="C"), "postgresql")
    )


def _long_id() -> TypeEngine[str]:
    return (
        Text()
        .with_variant(Text(collation="utf8mb4_nopad_bin"), "mariadb")
        .with_variant(Text(collation="C"), "postgresql")
    )


def _text() -> TypeEngine[str]:
    # MariaDB's TEXT ends at 64 KB.
    return Text().with_variant(LONGTEXT(), "mariadb")


def _need(name: str, kind: TypeEngine[Any], default: str | None = None) -> Column[Any]:
    return Column(
        name, kind, nullable=False, server_default=None if default is None else text(default)
    )


def _may(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    return Column(name, kind, nullable=True)


def _check(condition: str, name: str) -> CheckConstraint:
    return CheckConstraint(condition, name=name)


def _not_negative(*columns: str) -> list[CheckConstraint]:
    return [_check(f"{column} >= 0", f"{column}_not_negative") for column in columns]


def _table(
    name: str,
    placement: str,
    key: tuple[str, ...],
    *parts: Column[Any] | CheckConstraint | ForeignKeyConstraint | Index,
    row_id: bool = True,
) -> Table:
    # SQLite keeps a table without row ids in its primary key's tree: half the pages to write, as
    # long as its rows are short or come in the order of the key.
    return Table(
        name,
        metadata,
        *parts,
        PrimaryKeyConstraint(*key),
        info={"placement": placement},
        sqlite_with_rowid=row_id,
        mariadb_charset="utf8mb4",
    )


def _partial(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


# Rules of admission and settlement: immutable versions.

policies: Final = _table(
    "policies",
    "reference",
    ("version",),
    _need("version", _id()),
    _need("entry_id", _id(32)),
    _need("added_at", BigInteger()),
    _need("content", _text()),
)

rules: Final = _table(
    "rules",
    "reference",
    ("rule_id", "version"),
    _need("rule_id", _id()),
    _need("version", BigInteger()),
    _need("scope", _id(80)),
    _need("added_at", BigInteger()),
    _need("content", _text()),
    _check("version >= 1", "version_positive"),
    Index("ix_rules_scope", "scope"),
)

# Which rule holds from a date on: there is one for a scope.
rule_dates: Final = _table(
    "rule_dates",
    "reference",
    ("scope", "effective_from"),
    _need("scope", _id(80)),
    _need("effective_from", String(10)),
    _need("rule_id", _id()),
    row_id=False,
)

# Partners.

registrations: Final = _table(
    "registrations",
    "bank",
    ("registration_number",),
    _need("registration_number", _id(18)),
    _need("partner_id", _id()),
    row_id=False,
)

partners: Final = _table(
    "partners",
    "partner",
    ("partner_id",),
    _need("partner_id", _id()),
    _need("name", String(200)),
    _need("registration_number", _id(18)),
    _need("account_holder", String(200)),
    _need("account_number", String(64)),
    _need("account_bank", String(64)),
    _need("account_currency", String(3)),
    _need("status", String(16)),
    _need("admissions", _text()),
    _need("exited_for_cause", Boolean()),
    # The last day of the admission that ends first.
    _may("review_on", String(10)),
    _need("revision", BigInteger()),
)

decisions: Final = _table(
    "decisions",
    "partner",
    ("request_id", "sequence", "partner_id"),
    _need("request_id", _id()),
    _need("sequence", Integer()),
    _need("partner_id", _id()),
    _need("decision", String(16)),
    _need("decided_at", BigInteger()),
    _need("content", _text()),
    _check("sequence >= 1", "sequence_positive"),
)

sales_partners: Final = _table(
    "sales_partners",
    "bank",
    ("sales_partner_id",),
    _need("sales_partner_id", _id()),
    _need("name", String(200)),
    _need("account_holder", String(200)),
    _need("account_number", String(64)),
    _need("account_bank", String(64)),
    _need("account_currency", String(3)),
    _may("cron", String(200)),
    _may("timezone", String(64)),
    _may("next_push_at", BigInteger()),
    _may("pushed_until", BigInteger()),
    _need("revision", BigInteger()),
    Index("ix_sales_partners_next_push_at", "next_push_at"),
)

# Products.

product_numbers: Final = _table(
    "product_numbers",
    "bank",
    ("number",),
    _need("number", _id()),
    _need("partner_id", _id()),
    row_id=False,
)

#: What a tally counts, in counts and minor units.
COUNTS: Final = (
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


def _tally_exact() -> CheckConstraint:
    # An engine that would go on in floating point beyond 64 bits (SQLite) stops here; the other
    # figures are never larger.
    largest = 9_000_000_000_000_000_000
    figures = ("ordered", "sold", "gross_sales_minor", "returns_minor")
    return _check(" AND ".join(f"{each} <= {largest}" for each in figures), "tally_exact")


def _goods_hold() -> list[CheckConstraint]:
    return [
        *_not_negative(*COUNTS),
        _check("returned <= sold", "returned_within_sold"),
        _check("procured <= ordered", "procured_within_ordered"),
        _check("procured - sold + returned - sent_back - written_off >= 0", "unsold_not_negative"),
    ]


products: Final = _table(
    "products",
    "partner",
    ("partner_id", "number"),
    _need("partner_id", _id()),
    _need("number", _id()),
    _need("name", String(200)),
    # The name as it is searched; one character may become eighteen in it.
    _need("name_key", _long_id()),
    _need("unit", _id(16)),
    _need("unit_places", SmallInteger()),
    _need("currency", String(3)),
    _need("agreed_price_minor", BigInteger()),
    _may("gtin", String(14)),
    _may("category", String(100)),
    _may("on_sale_from", String(10)),
    _may("on_sale_until", String(10)),
    _may("attributes", _text()),
    _need("revision", BigInteger()),
    # The tally over all orders stands here, so that one read answers how a product sells.
    *(_need(count, BigInteger(), "0") for count in COUNTS),
    _may("first_sale_at", BigInteger()),
    _may("last_sale_at", BigInteger()),
    _may("last_report_at", BigInteger()),
    ForeignKeyConstraint(["partner_id"], ["partners.partner_id"]),
    _check("unit_places BETWEEN 0 AND 6", "unit_places_known"),
    *_not_negative("agreed_price_minor"),
    *_goods_hold(),
    _tally_exact(),
)

# By which any part of a name is found: see `names`. SQLite has it as a full-text index. All columns
# are in the key, so that on PostgreSQL the key's index answers by itself.
name_tails: Final = _table(
    "name_tails",
    "partner",
    ("place", "tail", "number", "partner_id", "shared"),
    _need("place", SmallInteger()),
    _need("tail", _id(16)),
    _need("number", _id()),
    _need("partner_id", _id()),
    _need("shared", SmallInteger()),
)

# Other forms of names than their keys, of products that have any; blanks stand between them.
name_forms: Final = _table(
    "name_forms",
    "partner",
    ("partner_id", "number"),
    _need("partner_id", _id()),
    _need("number", _id()),
    _need("forms", _text()),
    row_id=False,
)

# What happened to a product in the orders of one sales partner and business line: sums over these
# answer how a partner, a sales partner or a business line sells, however many orders there are.
tallies: Final = _table(
    "tallies",
    "partner",
    ("partner_id", "product_number", "sales_partner_id", "business_line"),
    _need("partner_id", _id()),
    _need("product_number", _id()),
    _need("sales_partner_id", _id()),
    _need("business_line", _id()),
    *(_need(count, BigInteger()) for count in COUNTS),
    _may("first_sale_at", BigInteger()),
    _may("last_sale_at", BigInteger()),
    _may("last_report_at", BigInteger()),
    *_goods_hold(),
    _tally_exact(),
    Index("ix_tallies_sales_partner_id", "sales_partner_id"),
    Index("ix_tallies_business_line", "business_line"),
    row_id=False,
)

# Quotas: the bank's own, and those of one partner or product.


def _quota_checks() -> list[CheckConstraint]:
    return _not_negative("limit_minor", "used_minor")


quotas: Final = _table(
    "quotas",
    "bank",
    ("scope", "currency"),
    _need("scope", _id(80)),
    _need("currency", String(3)),
    _need("limit_minor", BigInteger()),
    _need("used_minor", BigInteger()),
    *_quota_checks(),
    row_id=False,
)

partner_quotas: Final = _table(
    "partner_quotas",
    "partner",
    ("partner_id", "scope", "currency"),
    _need("partner_id", _id()),
    _need("scope", _id(80)),
    _need("currency", String(3)),
    _need("limit_minor", BigInteger()),
    _need("used_minor", BigInteger()),
    *_quota_checks(),
    row_id=False,
)

# Orders.

demands: Final = _table(
    "demands",
    "bank",
    ("demand_id",),
    _need("demand_id", _id()),
    _need("digest", String(64)),
    _need("order_ids", _text()),
    _need("placed_at", BigInteger()),
    row_id=False,
)

orders: Final = _table(
    "orders",
    "partner",
    ("order_id", "partner_id"),
    _need("order_id", _id(129)),
    _need("partner_id", _id()),
    _need("demand_id", _id()),
    _need("business_line", _id()),
    _need("sales_partner_id", _id()),
    _need("currency", String(3)),
    _need("placed_at", BigInteger()),
    _need("state", String(16)),
    _may("dispatched_at", BigInteger()),
    _may("accepted_at", BigInteger()),
    _may("completed_at", BigInteger()),
    _may("settled_at", BigInteger()),
    _may("ended_at", BigInteger()),
    _may("end_reason", String(500)),
    _may("last_report_at", BigInteger()),
    _may("expenses", _text()),
    _need("revision", BigInteger()),
    ForeignKeyConstraint(["partner_id"], ["partners.partner_id"]),
    Index("ix_orders_state_order_id", "state", "order_id"),
    _partial(
        "ix_orders_sales_partner_id",
        "sales_partner_id",
        where=_one_of("state", GOODS_MOVE),
    ),
    _partial(
        "ix_orders_partner_id_accepted_at",
        "partner_id",
        "accepted_at",
        where="accepted_at IS NOT NULL",
    ),
)

order_lines: Final = _table(
    "order_lines",
    "partner",
    ("order_id", "partner_id", "product_number"),
    _need("order_id", _id(129)),
    _need("partner_id", _id()),
    _need("product_number", _id()),
    _need("line_no", Integer()),
    _need("name", String(200)),
    _need("ordered", BigInteger()),
    _need("unit_places", SmallInteger()),
    _need("agreed_price_minor", BigInteger()),
    _need("procured", BigInteger()),
    _need("sold", BigInteger()),
    _need("returned", BigInteger()),
    _need("sent_back", BigInteger()),
    _need("written_off", BigInteger()),
    _need("settled", BigInteger()),
    _need("delivery_final", Boolean()),
    _need("procurement_cost_minor", BigInteger()),
    _need("sent_back_credit_minor", BigInteger()),
    _need("gross_sales_minor", BigInteger()),
    _need("returns_minor", BigInteger()),
    _may("first_sale_at", BigInteger()),
    _may("last_sale_at", BigInteger()),
    ForeignKeyConstraint(["order_id", "partner_id"], ["orders.order_id", "orders.partner_id"]),
    *_not_negative("agreed_price_minor", "procurement_cost_minor", "sent_back_credit_minor"),
    *_goods_hold(),
    row_id=False,
)

reports: Final = _table(
    "reports",
    "partner",
    ("partner_id", "report_id"),
    _need("partner_id", _id()),
    _need("report_id", _id(128)),
    # In which order they were received.
    _need("entry_id", _id(32)),
    _need("entry_no", Integer()),
    _need("kind", String(32)),
    _need("digest", String(64)),
    # What was reported on may not exist.
    _may("order_id", _id(200)),
    _may("occurred_at", BigInteger()),
    _need("received_at", BigInteger()),
    _need("outcome", String(16)),
    _may("reasons", _text()),
    _may("details", _text()),
    _may("sales_partner_id", _id()),
    _may("effect", _text()),
    _may("pushed_slot", BigInteger()),
    # The sales partner who has still to be told of it.
    _may("push_to", _id()),
    _partial(
        "ix_reports_partner_id_order_id",
        "partner_id",
        "order_id",
        where="order_id IS NOT NULL",
    ),
    _partial("ix_reports_push_to", "push_to", where="push_to IS NOT NULL"),
)

# Settlements.

settlements: Final = _table(
    "settlements",
    "partner",
    ("order_id", "sequence", "partner_id"),
    _need("order_id", _id(129)),
    _need("sequence", Integer()),
    _need("partner_id", _id()),
    _need("settlement_id", _id(140)),
    _need("sales_partner_id", _id()),
    _need("currency", String(3)),
    _need("settled_at", BigInteger()),
    _need("net_sales_minor", BigInteger()),
    _need("cost_of_goods_minor", BigInteger()),
    _need("deductions", _text()),
    _need("base_minor", BigInteger()),
    _need("pool_minor", BigInteger()),
    _need("rules", _text()),
    _need("explanation", _text()),
    ForeignKeyConstraint(["order_id", "partner_id"], ["orders.order_id", "orders.partner_id"]),
    _check("sequence >= 1", "sequence_positive"),
    *_not_negative("pool_minor"),
)

settlement_shares: Final = _table(
    "settlement_shares",
    "partner",
    ("order_id", "sequence", "partner_id", "beneficiary"),
    _need("order_id", _id(129)),
    _need("sequence", Integer()),
    _need("partner_id", _id()),
    _need("beneficiary", _id(80)),
    _need("share_no", Integer()),
    _need("account", _id(80)),
    _need("share_minor", BigInteger()),
    _need("withheld_minor", BigInteger()),
    _need("state", String(16)),
    ForeignKeyConstraint(
        ["order_id", "sequence", "partner_id"],
        ["settlements.order_id", "settlements.sequence", "settlements.partner_id"],
    ),
    *_not_negative("share_minor", "withheld_minor"),
    _check("withheld_minor <= share_minor", "withheld_within_share"),
    row_id=False,
)

# What happened, and what is to be done about it.

journal: Final = _table(
    "journal",
    "partner",
    ("entry_id", "entry_no", "partner_id"),
    _need("entry_id", _id(32)),
    _need("entry_no", Integer()),
    _need("partner_id", _id()),
    _need("kind", String(32)),
    _need("at", BigInteger()),
    _may("order_id", _id(129)),
    _may("actor", String(200)),
    _need("data", _text()),
    _partial("ix_journal_order_id", "order_id", where="order_id IS NOT NULL"),
    row_id=False,
)

outbox: Final = _table(
    "outbox",
    "partner",
    ("entry_id", "partner_id"),
    _need("entry_id", _id(512)),
    _need("partner_id", _id()),
    _need("kind", String(16)),
    _need("stream", _id(256)),
    _need("position", BigInteger()),
    _need("state", String(16)),
    _need("due_at", BigInteger()),
    _need("leased", Boolean()),
    _need("attempts", Integer()),
    _may("last_error", _text()),
    _may("done_at", BigInteger()),
    _need("intent", _text()),
    # When it may be claimed: `due_at` while it is waiting, NEVER when it is set aside, null when
    # it is done. So however many entries are done, none of them is in the way of a claim.
    _may("claim_at", BigInteger()),
    # Its position in the stream, null when it is done and holds nothing back any more.
    _may("holds_at", BigInteger()),
    *_not_negative("attempts"),
    _partial(
        "ix_outbox_kind_claim_at_position_entry_id",
        "kind",
        "claim_at",
        "position",
        "entry_id",
        where="claim_at IS NOT NULL",
    ),
    _partial(
        "ix_outbox_partner_id_stream_holds_at",
        "partner_id",
        "stream",
        "holds_at",
        where="holds_at IS NOT NULL",
    ),
)

# The ledger: append-only.

ledger_entries: Final = _table(
    "ledger_entries",
    "partner",
    ("entry_key", "partner_id"),
    _need("entry_key", _id(256)),
    _need("partner_id", _id()),
    _need("digest", String(64)),
    _need("order_id", _id(129)),
    _need("settlement_id", _id(140)),
    _need("instructed_at", BigInteger()),
    row_id=False,
)

ledger_postings: Final = _table(
    "ledger_postings",
    "partner",
    ("account", "entry_id", "entry_no", "partner_id"),
    _need("account", _id(80)),
    # In which order they were made.
    _need("entry_id", _id(32)),
    _need("entry_no", Integer()),
    _need("partner_id", _id()),
    _need("entry_key", _id(256)),
    _need("counter_account", _id(80)),
    _need("currency", String(3)),
    _need("amount_minor", BigInteger()),
    ForeignKeyConstraint(
        ["entry_key", "partner_id"], ["ledger_entries.entry_key", "ledger_entries.partner_id"]
    ),
    _check("amount_minor <> 0", "amount_not_zero"),
    _check("account <> counter_account", "accounts_differ"),
    row_id=False,
)

ledger_balances: Final = _table(
    "ledger_balances",
    "partner",
    ("account", "currency", "partner_id"),
    _need("account", _id(80)),
    _need("currency", String(3)),
    _need("partner_id", _id()),
    _need("balance_minor", BigInteger()),
    # An engine that would go on in floating point beyond 64 bits (SQLite) stops here.
    _check("balance_minor BETWEEN -9000000000000000000 AND 9000000000000000000", "balance_exact"),
    row_id=False,
)


# SQLite's index of names. Its terms are the lines of a text as they are: whatever else ASCII has
# is part of a term. It keeps neither the texts nor where in them a term stands.
_NAME_TERMS: Final = (
    "CREATE VIRTUAL TABLE name_tails USING fts5(tails, content='', columnsize=0, detail=none, "
    "tokenize=\"ascii tokenchars '\t !\"\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~'\")"
)
_NAME_VOCABULARY: Final = (
    "CREATE VIRTUAL TABLE name_tails_terms USING fts5vocab(name_tails, instance)"
)


@compiles(CreateTable, "sqlite")
def _create_table(create: CreateTable, compiler: DDLCompiler, **options: Any) -> str:  # noqa: ANN401 - the compiler's
    if create.element is name_tails:
        return _NAME_TERMS
    return str(compiler.visit_create_table(create, **options))  # type: ignore[no-untyped-call] # as it is


def _create_vocabulary(_: Table, connection: Connection, **_options: object) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_NAME_VOCABULARY)


def _drop_vocabulary(_: Table, connection: Connection, **_options: object) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("DROP TABLE name_tails_terms")


event.listen(name_tails, "after_create", _create_vocabulary)
event.listen(name_tails, "before_drop", _drop_vocabulary)
