"""The index by which any part of a name is found, built for the products that are there.

It may be run again after it was broken off half-way: an engine that commits each change of the
schema by itself (MariaDB) builds the index anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGTEXT

from consignment.adapters.sqlalchemy.names import NameIndex
from consignment.adapters.sqlalchemy.statements import Session
from consignment.domain.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BATCH = 5_000


# A migration stands by itself: what a later release does to the types in `tables` is not its
# concern.
def _id(length: int = 64) -> TypeEngine[str]:
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="utf8mb4_nopad_bin"), "mariadb")
        .with_variant(sa.String(length, collation="C"), "postgresql")
    )


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _create_terms()
    else:
        _create_rows()
    op.drop_table("name_forms", if_exists=True)
    op.create_table(
        "name_forms",
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("number", _id(64), nullable=False),
        sa.Column("forms", sa.Text().with_variant(LONGTEXT(), "mariadb"), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", "number", name=op.f("pk_name_forms")),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
        sqlite_with_rowid=False,
    )
    _fill()
    # Whole names and their beginnings are found by the new index too.
    op.drop_index("ix_products_name_key", "products", if_exists=True)


def _create_terms() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE name_tails USING fts5(tails, content='', columnsize=0, detail=none, "
        "tokenize=\"ascii tokenchars '\t !\"\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~'\")"
    )
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE name_tails_terms USING fts5vocab(name_tails, instance)"
    )


def _create_rows() -> None:
    op.drop_table("name_tails", if_exists=True)
    op.create_table(
        "name_tails",
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("tail", _id(16), nullable=False),
        sa.Column("number", _id(64), nullable=False),
        sa.Column("partner_id", _id(64), nullable=False),
        sa.Column("shared", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "place", "tail", "number", "partner_id", "shared", name=op.f("pk_name_tails")
        ),
        info={"placement": "partner"},
        mariadb_charset="utf8mb4",
    )


def _fill() -> None:
    # What stands in the index is for the release that reads it: one that reads it in another way
    # builds it anew, by a revision of its own. So this is no frozen copy.
    connection = op.get_bind()
    numbers = sa.table("product_numbers", sa.column("number"))
    cursor = connection.connection.cursor()
    session = Session(cursor, connection.dialect, _told, writable=True)
    index = NameIndex(session)
    after = ""
    while True:
        batch = connection.scalars(
            sa.select(numbers.c.number)
            .where(numbers.c.number > after)
            .order_by(numbers.c.number)
            .limit(_BATCH)
        ).all()
        if not batch:
            break
        index.add(list(index.stored(batch).values()))
        if connection.dialect.name in {"mysql", "mariadb"}:
            # There is no transaction around the revision to keep, so it need not be that large.
            connection.connection.commit()
        after = batch[-1]
    cursor.close()


def _told(error: Exception) -> StorageError:
    return StorageError(f"the index of names cannot be built: {error}")


def downgrade() -> None:
    op.create_index(
        "ix_products_name_key",
        "products",
        ["name_key", "number"],
        unique=False,
        mariadb_length={"name_key": 200},
    )
    op.drop_table("name_forms")
    if op.get_bind().dialect.name == "sqlite":
        op.get_bind().exec_driver_sql("DROP TABLE name_tails_terms")
    op.drop_table("name_tails")
