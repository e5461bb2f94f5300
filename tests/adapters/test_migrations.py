"""The tables are portable; the migrations make those tables, on each engine."""

from __future__ import annotations

import logging
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Integer,
    Table,
    Text,
    insert,
    make_url,
    select,
    text,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from consignment.adapters.sqlalchemy import HEAD, SqlStorage, schema, schema_version, upgrade
from consignment.adapters.sqlalchemy.tables import metadata
from consignment.domain.errors import (
    SchemaMissing,
    SchemaNewer,
    SchemaOutdated,
    StorageBusy,
    StorageReadOnly,
    StorageUnusable,
)
from tests.adapters.schemas import at_revision, connected, definitions
from tests.engines import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OTHERS = ("mariadb+pymysql://", "postgresql+psycopg://")
_TABLES = sorted(metadata.tables.values(), key=lambda table: table.name)
each_table = pytest.mark.parametrize("table", _TABLES, ids=lambda table: table.name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "desk.db"


# The tables.


@each_table
def test_amounts_and_counts_are_whole_numbers_of_64_bits(table: Table) -> None:
    """No amount is a float, and none is too narrow; what must not be negative is checked."""
    checks = " ".join(
        str(each.sqltext) for each in table.constraints if isinstance(each, CheckConstraint)
    )
    signed = {"base_minor", "net_sales_minor", "cost_of_goods_minor", "amount_minor"}
    for column in table.columns:
        if column.name.endswith("_minor"):
            assert str(column.type) == "BIGINT"
            if column.name not in signed:
                assert column.name in checks
        assert str(column.type) not in {"FLOAT", "NUMERIC", "DATETIME", "TIMESTAMP"}


@each_table
def test_tables_are_portable(table: Table) -> None:
    """PostgreSQL and MariaDB can be told to make them; MariaDB's keys fit 3,072 bytes."""
    for dialect in (make_url(each).get_dialect()() for each in _OTHERS):
        assert str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))
    for columns in (table.primary_key.columns, *(index.columns for index in table.indexes)):
        widths = [4 * (getattr(c.type, "length", None) or 0) or 8 for c in columns]
        if "name_key" in columns:
            widths.append(4 * 200)
        assert sum(widths) <= 3072


def test_ids_differ_by_case_in_every_engine() -> None:
    """Ids are compared as they are written."""
    kind = metadata.tables["partners"].c.partner_id.type
    mariadb, postgresql = (make_url(each).get_dialect()() for each in _OTHERS)
    assert "utf8mb4_nopad_bin" in kind.compile(mariadb)
    assert 'COLLATE "C"' in kind.compile(postgresql)


@pytest.fixture
def url(engine: str, tmp_path: Path) -> Iterator[str]:
    """A database without any table, on each engine."""
    with scratch(engine, tmp_path, "made") as address:
        yield address


def test_long_texts_go_in_and_out(url: str) -> None:
    """Wherever content is kept, a million characters of it are kept, with others around it."""
    upgrade(url)
    content = "阿克苏" * 350_000
    assert len(content.encode()) > 3_000_000
    found = 0
    with connected(url) as connection:
        for table in metadata.sorted_tables:
            if connection.dialect.name == "sqlite" and table.name == "name_tails":
                continue
            long = [c for c in table.columns if isinstance(c.type, Text) and c.name != "name_key"]
            row = {c.name: _dummy(c, content if c in long else "x") for c in table.columns}
            if table.name == "ledger_postings":
                continue
            connection.execute(insert(table), [row])
            for column in long:
                assert connection.scalar(select(column)) == content
                found += 1
    assert found >= 17


def _dummy(column: Column[Any], content: str) -> object:
    if isinstance(column.type, Boolean):
        return False
    if isinstance(column.type, Integer):
        return int(column.name in {"sequence", "version"})
    return content


# The migrations.


def _made_by_tables(url: str) -> dict[str, list[str]]:
    with connected(url) as connection:
        metadata.create_all(connection)
        return definitions(connection)


def test_the_migrations_make_the_tables(url: str, engine: str, tmp_path: Path) -> None:
    """What the migrations make is, to the letter, what the tables say: on each engine.

    Columns, types, nulls, collations, defaults, keys, checks, references and indexes, as the engine
    itself writes them.
    """
    upgrade(url)
    with connected(url) as connection:
        migrated = definitions(connection)
    with scratch(engine, tmp_path, "declared") as declared:
        assert migrated == _made_by_tables(declared)
    assert {"orders", "outbox", "tallies", "name_forms"} <= migrated.keys()


def test_alembic_finds_no_difference(url: str) -> None:
    """Autogeneration has nothing to add to the migrations."""
    upgrade(url)
    with connected(url) as connection:
        opts: dict[str, Any] = {"version_table": schema.VERSION_TABLE}
        if connection.dialect.name == "sqlite":
            opts["include_object"] = _no_full_text_index
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, metadata) == []


def _no_full_text_index(_: object, name: str | None, kind: str, *__: object) -> bool:
    # It has no columns that Alembic knows of, and keeps tables of its own.
    return not (kind == "table" and str(name).startswith("name_tails"))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "consignment.adapters.sqlalchemy:migrations")
    return config


def test_the_known_revisions_are_those_of_the_package() -> None:
    """The constant that opening compares with names every revision, in order."""
    script = ScriptDirectory.from_config(_config())
    revisions = [each.revision for each in script.walk_revisions()]
    assert tuple(reversed(revisions)) == schema.REVISIONS
    assert script.get_current_head() == HEAD


def test_every_revision_can_be_taken_back(url: str) -> None:
    """Downgrading leaves no table; whoever does so does it at their own risk."""
    upgrade(url)
    with connected(url) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with connected(url) as connection:
        assert definitions(connection) == {}
    assert schema_version(url) is None


# Upgrading.


def test_a_second_upgrade_leaves_the_file_as_it_is(path: Path) -> None:
    """The first time the schema is made; the second time no byte is changed."""
    assert upgrade(f"sqlite:///{path}") == HEAD
    assert schema_version(f"sqlite:///{path}") == HEAD
    before = path.read_bytes()
    assert upgrade(f"sqlite:///{path}") == HEAD
    assert path.read_bytes() == before


def test_several_processes_upgrade_at_once(url: str) -> None:
    """Each of them finds the schema made, by whichever was first."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(upgrade, [url] * 6)) == [HEAD] * 6
    SqlStorage.open(url).close()


def test_upgrading_is_quiet(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A host that logs at INFO hears nothing of Alembic, whose level is left as it was."""
    with caplog.at_level(logging.INFO):
        upgrade(f"sqlite:///{path}")
    assert not [record for record in caplog.records if record.name.startswith("alembic")]
    assert logging.getLogger("alembic").level == logging.NOTSET


def _set_version(url: str, *versions: str) -> None:
    with connected(url) as connection:
        connection.execute(text("DELETE FROM consignment_version"))
        for version in versions:
            connection.execute(
                text("INSERT INTO consignment_version VALUES (:version)"), {"version": version}
            )


def test_a_newer_schema_is_left_alone(url: str) -> None:
    """What a later version made is neither opened nor upgraded, but its version is told."""
    upgrade(url)
    _set_version(url, "9999")
    for use in (SqlStorage.open, upgrade):
        with pytest.raises(SchemaNewer, match=f"of version 9999, later than {HEAD}"):
            use(url)
    assert schema_version(url) == "9999"


def test_an_outdated_schema_is_not_opened(url: str) -> None:
    """What an earlier version made has to be upgraded first."""
    at_revision(url, "0001")
    with pytest.raises(SchemaOutdated, match=f"of version 0001, not {HEAD}: upgrade it first"):
        SqlStorage.open(url)
    assert upgrade(url) == HEAD
    SqlStorage.open(url).close()


def test_a_schema_without_a_version_is_missing(url: str) -> None:
    """An empty table of versions says that nothing was made, or that an upgrade broke off."""
    upgrade(url)
    _set_version(url)
    assert schema_version(url) is None
    with pytest.raises(SchemaMissing):
        SqlStorage.open(url)


def test_an_empty_database_has_no_schema(url: str, engine: str) -> None:
    """There is nothing to open, and opening makes nothing."""
    assert schema_version(url) is None
    with pytest.raises(SchemaMissing):
        SqlStorage.open(url)
    if engine != "sqlite":
        with connected(url) as connection:
            assert definitions(connection) == {}


def test_tables_of_somebody_else_are_not_taken(url: str) -> None:
    """A host's own table of a name of ours stays as it is, and is named in the error."""
    with connected(url) as connection:
        connection.execute(text("CREATE TABLE partners (name VARCHAR(9))"))
        connection.execute(text("INSERT INTO partners VALUES ('theirs')"))
        before = definitions(connection)
    with pytest.raises(StorageUnusable, match="same names as ours: partners"):
        upgrade(url)
    with connected(url) as connection:
        assert definitions(connection) == before
        assert connection.scalars(text("SELECT name FROM partners")).all() == ["theirs"]


def test_tables_of_a_host_may_stand_beside_ours(url: str) -> None:
    """A host's tables of other names, with its own version of them, do not matter."""
    with connected(url) as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('host')"))
    assert upgrade(url) == HEAD
    SqlStorage.open(url).close()


def test_upgrading_waits_for_others_and_is_told(path: Path) -> None:
    """While somebody writes, an upgrade gives up after its time-out."""
    upgrade(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy):
            upgrade(f"sqlite:///{path}", busy_timeout_s=0.05)


def test_changing_the_mode_waits_for_others_and_is_told(path: Path) -> None:
    """A database that somebody is writing to in the old mode cannot be put into WAL mode."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE mine (x INTEGER)")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy):
            upgrade(f"sqlite:///{path}", busy_timeout_s=0.05)


def test_what_can_only_be_read_is_not_upgraded(path: Path) -> None:
    """Opened for reading, an empty database stays empty."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE mine (x INTEGER)")
    with pytest.raises(StorageReadOnly):
        upgrade(f"sqlite:///file:{path}?mode=ro&uri=true")
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]


def test_memory_is_made_by_opening_it() -> None:
    """There is nothing to upgrade before a store in memory is opened."""
    with pytest.raises(StorageUnusable):
        upgrade("sqlite://")
    SqlStorage.open("sqlite:///:memory:").close()
