"""The tables keep the rules of a schema that can be spread; the migrations make those tables."""

from __future__ import annotations

import logging
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Table, UniqueConstraint, create_engine, make_url
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

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = ("mariadb+pymysql://", "postgresql+psycopg://")
_TABLES = sorted(metadata.tables.values(), key=lambda table: table.name)
_PARTNERS = [table for table in _TABLES if table.info["placement"] == "partner"]
each_table = pytest.mark.parametrize("table", _TABLES, ids=lambda table: table.name)
each_table_of_partners = pytest.mark.parametrize("table", _PARTNERS, ids=lambda table: table.name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "desk.db"


# The rules.


@each_table
def test_every_table_says_where_it_is_placed(table: Table) -> None:
    """There are three placements."""
    assert table.info["placement"] in {"partner", "reference", "bank"}


@each_table
def test_every_table_has_a_primary_key_without_nulls(table: Table) -> None:
    """Rows are told apart, and no key is made by the database."""
    assert table.primary_key.columns
    for column in table.primary_key.columns:
        assert not column.nullable
        assert column.default is None
        assert column.server_default is None
        assert column.autoincrement in {False, "auto"}
    integers = [c for c in table.primary_key.columns if c.type.python_type is int]
    assert len(table.primary_key.columns) > len(integers)


@each_table_of_partners
def test_the_partner_stands_in_every_key(table: Table) -> None:
    """A partner's rows are found, and kept unique, within the partner."""
    assert not table.c.partner_id.nullable
    assert "partner_id" in table.primary_key.columns
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            assert "partner_id" in constraint.columns
    assert not [index for index in table.indexes if index.unique]


@each_table
def test_foreign_keys_stay_with_the_partner_or_go_to_reference_tables(table: Table) -> None:
    """A foreign key of a partner's row names the partner, and changes nothing by itself."""
    for foreign in table.foreign_key_constraints:
        assert foreign.onupdate is None
        assert foreign.ondelete is None
        placement = foreign.referred_table.info["placement"]
        if table.info["placement"] == "partner" and placement == "partner":
            pairs = {(e.parent.name, e.column.name) for e in foreign.elements}
            assert ("partner_id", "partner_id") in pairs
        else:
            assert placement == "reference"


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
def test_nothing_is_computed_by_the_database(table: Table) -> None:
    """Defaults are constants: a statement means the same wherever it is carried out."""
    for column in table.columns:
        if column.server_default is not None:
            assert str(column.server_default.arg) == "0"  # type: ignore[attr-defined] # a constant
        assert column.onupdate is None
        assert column.server_onupdate is None
        assert column.computed is None


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


# The migrations.


def _schema_of(path: Path) -> dict[str, list[str]]:
    # The constraints of a table stand in no particular order.
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {
            name: sorted(line.strip(" ,\t") for line in sql.splitlines())
            for name, sql in rows
            if name != schema.VERSION_TABLE
        }


def test_the_migrations_make_the_tables(path: Path, tmp_path: Path) -> None:
    """What the migrations make is, to the letter, what the tables say."""
    upgrade(f"sqlite:///{path}")
    declared = tmp_path / "declared.db"
    engine = create_engine(f"sqlite:///{declared}")
    metadata.create_all(engine)
    engine.dispose()
    assert _schema_of(path) == _schema_of(declared)


def test_alembic_finds_no_difference(path: Path) -> None:
    """Autogeneration has nothing to add to the migrations."""
    upgrade(f"sqlite:///{path}")
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


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


def test_the_first_revision_can_be_taken_back(path: Path) -> None:
    """Downgrading leaves no table."""
    upgrade(f"sqlite:///{path}")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    engine.dispose()
    assert _schema_of(path) == {}
    assert schema_version(f"sqlite:///{path}") is None


# Upgrading.


def test_upgrading_creates_and_then_changes_nothing(path: Path) -> None:
    """The first time the schema is made; the second time the file stays as it is."""
    assert upgrade(f"sqlite:///{path}") == HEAD
    assert schema_version(f"sqlite:///{path}") == HEAD
    before = path.read_bytes()
    assert upgrade(f"sqlite:///{path}") == HEAD
    assert path.read_bytes() == before


def test_several_processes_upgrade_at_once(path: Path) -> None:
    """Each of them finds the schema made, by whichever was first."""
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(upgrade, [f"sqlite:///{path}"] * 8)) == [HEAD] * 8
    SqlStorage.open(f"sqlite:///{path}").close()


def test_upgrading_is_quiet(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A host that logs at INFO hears nothing of Alembic, whose level is left as it was."""
    with caplog.at_level(logging.INFO):
        upgrade(f"sqlite:///{path}")
    assert not [record for record in caplog.records if record.name.startswith("alembic")]
    assert logging.getLogger("alembic").level == logging.NOTSET


def test_a_hosts_own_migrations_do_not_matter(path: Path) -> None:
    """A host may keep its tables, and its own version of them, in the same file."""
    with closing(sqlite3.connect(path)) as host:
        host.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        host.execute("INSERT INTO alembic_version VALUES ('host')")
        host.commit()
    assert upgrade(f"sqlite:///{path}") == HEAD
    SqlStorage.open(f"sqlite:///{path}").close()


def _set_version(path: Path, version: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE consignment_version SET version_num = ?", (version,))
        connection.commit()


def test_a_newer_schema_is_left_alone(path: Path) -> None:
    """What a later version made is neither opened nor upgraded, but its version is told."""
    upgrade(f"sqlite:///{path}")
    _set_version(path, "9999")
    with pytest.raises(SchemaNewer):
        SqlStorage.open(f"sqlite:///{path}")
    with pytest.raises(SchemaNewer):
        upgrade(f"sqlite:///{path}")
    assert schema_version(f"sqlite:///{path}") == "9999"


def test_an_outdated_schema_is_not_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier version made has to be upgraded first."""
    upgrade(f"sqlite:///{path}")
    monkeypatch.setattr(schema, "REVISIONS", ("0000", *schema.REVISIONS))
    _set_version(path, "0000")
    with pytest.raises(SchemaOutdated):
        SqlStorage.open(f"sqlite:///{path}")


def test_a_schema_without_a_version_is_missing(path: Path) -> None:
    """An empty table of versions says that nothing was made."""
    upgrade(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM consignment_version")
        connection.commit()
    assert schema_version(f"sqlite:///{path}") is None
    with pytest.raises(SchemaMissing):
        SqlStorage.open(f"sqlite:///{path}")


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
    assert list(_schema_of(path)) == ["mine"]


def test_memory_is_made_by_opening_it() -> None:
    """There is nothing to upgrade before a store in memory is opened."""
    with pytest.raises(StorageUnusable):
        upgrade("sqlite://")
    SqlStorage.open("sqlite:///:memory:").close()
