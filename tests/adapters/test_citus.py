"""Placing tables on Citus: against a real PostgreSQL in which Citus is acted.

Its functions, its catalogue and the entry that says it is installed are made in the test's own
database, with the names and parameters they have in Citus 10 to 14, and write down what they are
asked. What Citus does then is not tested here: it was not at hand. See `docs/how-to/shard.md`.
"""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, text

from consignment.adapters.sqlalchemy import HEAD, SqlStorage, upgrade
from consignment.adapters.sqlalchemy.citus import placing
from consignment.adapters.sqlalchemy.engines import database_at
from consignment.adapters.sqlalchemy.schema import REVISIONS
from consignment.adapters.sqlalchemy.tables import metadata
from consignment.domain.errors import (
    DuplicateKey,
    StorageBusy,
    StorageError,
    StorageUnreachable,
)
from tests.adapters.schemas import at_revision, connected, definitions
from tests.engines import needed, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Connection

_ACTED = """
CREATE TYPE distribution_type AS ENUM ('hash', 'range', 'append');
CREATE TABLE pg_dist_partition (logicalrel regclass PRIMARY KEY);
CREATE TABLE asked (
    no int GENERATED ALWAYS AS IDENTITY,
    what text, relation text, beside text, mode text, nothing_in_it boolean
);
CREATE FUNCTION write_down(a_what text, a_table regclass, a_beside text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    nothing boolean;
BEGIN
    IF EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrel = a_table) THEN
        RAISE EXCEPTION 'table is already distributed' USING ERRCODE = '42P16';
    END IF;
    IF a_beside NOT IN ('none', 'default', '') AND NOT EXISTS (
        SELECT 1 FROM pg_dist_partition WHERE logicalrel = a_beside::regclass
    ) THEN
        RAISE EXCEPTION 'relation is not distributed';
    END IF;
    IF EXISTS (
        SELECT 1 FROM pg_constraint WHERE contype = 'f' AND conrelid = a_table
        AND confrelid NOT IN (SELECT logicalrel FROM pg_dist_partition)
    ) THEN
        RAISE EXCEPTION 'foreign keys from a distributed table to a local table';
    END IF;
    EXECUTE 'SELECT NOT EXISTS (SELECT 1 FROM ' || a_table || ')' INTO nothing;
    INSERT INTO asked (what, relation, beside, mode, nothing_in_it) VALUES (
        a_what, a_table::text, a_beside,
        current_setting('citus.multi_shard_modify_mode', true), nothing
    );
    INSERT INTO pg_dist_partition VALUES (a_table);
END $$;
CREATE FUNCTION create_distributed_table(
    table_name regclass, distribution_column text,
    distribution_type distribution_type DEFAULT 'hash',
    colocate_with text DEFAULT 'default', shard_count int DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM write_down('distribute', table_name, colocate_with);
    -- Only a column that every unique key has can be distributed by.
    IF EXISTS (
        SELECT 1 FROM pg_index i WHERE i.indrelid = table_name AND i.indisunique AND NOT (
            SELECT a.attnum FROM pg_attribute a
            WHERE a.attrelid = table_name AND a.attname = distribution_column
        ) = ANY (i.indkey::int2[])
    ) THEN
        RAISE EXCEPTION 'a unique key without the column';
    END IF;
END $$;
CREATE FUNCTION create_reference_table(table_name regclass) RETURNS void LANGUAGE sql AS $$
    SELECT write_down('copy', table_name, '')
$$;
"""
_INSTALLED = """
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
SELECT 900000, 'citus', usesysid, 'pg_catalog'::regnamespace, false, '13.0-1'
FROM pg_user WHERE usename = current_user
"""


def _act(url: str, *, installed: bool = True) -> None:
    with connected(url) as connection:
        connection.exec_driver_sql(_ACTED)
        if installed:
            connection.exec_driver_sql(_INSTALLED)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL database without any table of ours."""
    needed("postgresql")
    with scratch("postgresql", tmp_path, "acted") as address:
        yield address


@pytest.fixture
def acted(url: str) -> str:
    """One in which Citus is acted."""
    _act(url)
    return url


def _asked(url: str) -> list[tuple[Any, ...]]:
    with connected(url) as connection:
        return [
            tuple(row)
            for row in connection.execute(
                text("SELECT what, relation, beside, mode, nothing_in_it FROM asked ORDER BY no")
            )
        ]


def _placed(placement: str) -> set[str]:
    return {each.name for each in metadata.sorted_tables if each.info["placement"] == placement}


def test_every_table_is_placed_as_it_is_made(acted: str) -> None:
    """Partners' tables are distributed beside each other, reference tables copied, no other."""
    assert upgrade(acted) == HEAD
    asked = _asked(acted)
    distributed = [each for each in asked if each[0] == "distribute"]
    assert {each[1] for each in distributed} == _placed("partner")
    assert {each[1] for each in asked if each[0] == "copy"} == _placed("reference")
    assert len(asked) == len(_placed("partner") | _placed("reference"))
    # One after the other, before anything stands in them; all beside the first one.
    assert {(each[3], each[4]) for each in asked} == {("sequential", True)}
    assert distributed[0][2] == "none"
    assert len({each[2] for each in distributed[1:]}) == 1
    SqlStorage.open(acted).close()


def test_a_second_upgrade_places_nothing(acted: str) -> None:
    """Everything is there, and has its place."""
    upgrade(acted)
    asked = _asked(acted)
    upgrade(acted)
    assert _asked(acted) == asked


def test_what_a_later_revision_makes_is_placed_too(acted: str) -> None:
    """Beside the partners, and before it is filled from tables that are spread."""
    at_revision(acted, REVISIONS[0])
    before = _asked(acted)
    assert {each[1] for each in before} < _placed("partner") | _placed("reference")
    for revision in REVISIONS[1:]:
        at_revision(acted, revision)
    later = _asked(acted)[len(before) :]
    assert ("distribute", "tallies", "partners", "sequential", True) in later
    assert ("copy", "rule_dates", "", "sequential", True) in later


def test_plain_postgresql_is_left_alone(url: str) -> None:
    """Functions of these names are not Citus."""
    _act(url, installed=False)
    assert upgrade(url) == HEAD
    assert _asked(url) == []


def test_a_database_that_was_made_before_stays_as_it_is(url: str) -> None:
    """Tables that Citus came to later are not spread, nor are new ones beside them."""
    at_revision(url, REVISIONS[0])
    _act(url)
    assert upgrade(url) == HEAD
    assert _asked(url) == []


def test_a_table_that_cannot_be_placed_undoes_all(acted: str) -> None:
    """The transaction that makes the tables places them."""
    with connected(acted) as connection:
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION create_reference_table(table_name regclass) RETURNS void "
            "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no worker' USING ERRCODE = '08006'; "
            "END $$"
        )
        before = definitions(connection)
    with pytest.raises(StorageUnreachable, match="no worker"):
        upgrade(acted)
    with connected(acted) as connection:
        assert definitions(connection) == before
    assert _asked(acted) == []


def _made_meanwhile(connection: Connection, other: Connection) -> None:
    tables = MetaData()
    kinds = ("partner", "reference", "bank", None)
    made = [
        Table(
            f"made {kind}",
            tables,
            Column("partner_id", String(64), primary_key=True),
            info={} if kind is None else {"placement": kind},
        )
        for kind in kinds
    ]
    for table in made:
        table.create(connection)
    beside = Table("other", tables, Column("x", Integer), info={"placement": "partner"})
    thread = Thread(target=beside.create, args=(other,))
    thread.start()
    thread.join()


def test_only_what_is_made_on_the_connection_is_placed(acted: str) -> None:
    """A host's table that another thread makes meanwhile, and one without a placement, are not."""
    engine = create_engine(acted.replace("postgresql:", "postgresql+psycopg:"))
    with connected(acted) as connection, engine.begin() as other:
        with placing(connection):
            _made_meanwhile(connection, other)
        Table(
            "after", MetaData(), Column("partner_id", String(9)), info={"placement": "partner"}
        ).create(connection)
    engine.dispose()
    # A name that has to be quoted is.
    assert [each[:3] for each in _asked(acted)] == [
        ("distribute", '"made partner"', "none"),
        ("copy", '"made reference"', ""),
    ]


# Errors of a shard.


def _error(kind: str, message: str) -> Exception:
    from psycopg import errors  # noqa: PLC0415 - needs the extra

    return errors.lookup(kind)(message)


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        (
            "23505",
            (
                'duplicate key value violates unique constraint "pk_orders_102107"\n'
                "CONTEXT:  while executing command on worker-1:5432"
            ),
            DuplicateKey,
        ),
        ("40P01", "canceling the transaction: a distributed deadlock", StorageBusy),
        ("40001", "could not serialize access due to concurrent update", StorageBusy),
        ("55P03", "canceling statement due to lock timeout", StorageBusy),
        ("08006", "connection to the remote node worker-1:5432 failed", StorageUnreachable),
        ("0A000", "could not run distributed query with FOR UPDATE/SHARE commands", StorageError),
        ("23514", 'violates check constraint "ck_products_tally_exact_102140"', StorageError),
    ],
)
def test_errors_of_shards_are_told_by_their_code(
    kind: str, message: str, expected: type[StorageError]
) -> None:
    """The names in them are those of shards; the codes are the same as ever."""
    database = database_at("postgresql://nobody@localhost/none")
    told = database.told(_error(kind, message))
    assert type(told) is expected
    assert str(told) == f"{message.partition(chr(10))[0]} ({kind})"
