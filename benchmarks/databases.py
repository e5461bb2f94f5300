"""Databases to measure in, on every engine that is there, and copies of them.

Servers are found at the addresses in `CONSIGNMENT_TEST_POSTGRESQL` and `CONSIGNMENT_TEST_MARIADB`,
by default on this machine; whoever they name may create databases. Everything is dropped at the
end, and at most one run measures at a time if its figures are to mean something.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import NullPool, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from consignment.adapters.sqlalchemy import upgrade
from consignment.adapters.sqlalchemy.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

__all__ = ["ENGINES", "Databases", "opened_engine", "working"]

ENGINES = ("sqlite", "postgresql", "mariadb")
_DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
_ADDRESSES = {
    "postgresql": "postgresql://postgres@127.0.0.1:5432/postgres",
    "mariadb": "mariadb://root@127.0.0.1:3306/",
}


class Databases:
    """Databases of one engine, by short names; they are addressed as a host would."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        self._folder = folder
        self._prefix = f"consignment_bench_{os.getpid()}_"
        self._made: set[str] = set()
        self._serial = 0

    def _address(self) -> Any:  # noqa: ANN401 - SQLAlchemy's URL
        variable = f"CONSIGNMENT_TEST_{self.engine.upper()}"
        return make_url(os.environ.get(variable) or _ADDRESSES[self.engine])

    @contextmanager
    def _admin(self) -> Iterator[Connection]:
        made = create_engine(
            self._address().set(drivername=_DRIVERS[self.engine]),
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args={"connect_timeout": 3},
        )
        with made.connect() as connection:
            yield connection

    def described(self) -> str:
        """Give the engine's name and version; raises `DBAPIError` when it is not there."""
        if self.engine == "sqlite":
            return f"SQLite {sqlite3.sqlite_version}"
        with self._admin() as connection:
            version = str(connection.scalar(text("SELECT version()")))
        name = "PostgreSQL" if self.engine == "postgresql" else "MariaDB"
        return f"{name} {version.removeprefix('PostgreSQL ').split()[0].partition('-')[0]}"

    def missing(self) -> str | None:
        """Say in one line why the engine cannot be measured, None when it can."""
        try:
            self.described()
        except DBAPIError as error:
            return str(error.orig).partition("\n")[0]
        return None

    def create(self, which: str) -> str:
        """Make a database with the schema; give its address."""
        self._serial += 1
        which = f"{which}_{self._serial}"
        if self.engine == "sqlite":
            url = f"sqlite:///{self._folder / f'{which}.db'}"
        else:
            name = self._prefix + which
            options = (
                "ENCODING 'UTF8' TEMPLATE template0"
                if self.engine == "postgresql"
                else "CHARACTER SET utf8mb4"
            )
            with self._admin() as connection:
                connection.execute(text(f"CREATE DATABASE {name} {options}"))
            self._made.add(name)
            url = self._url(name)
        upgrade(url)
        return url

    def _url(self, name: str) -> str:
        address = self._address().set(drivername=self.engine, database=name)
        return str(address.render_as_string(hide_password=False))

    def copy(self, url: str, which: str) -> str:
        """Copy a database that nobody uses at the moment; give the copy's address."""
        if self.engine == "sqlite":
            source = Path(str(make_url(url).database))
            self._serial += 1
            target = self._folder / f"{which}_{self._serial}.db"
            for suffix in ("", "-wal"):
                if source.with_name(source.name + suffix).exists():
                    shutil.copyfile(
                        source.with_name(source.name + suffix),
                        target.with_name(target.name + suffix),
                    )
            return f"sqlite:///{target}"
        source_name = make_url(url).database
        if self.engine == "postgresql":
            self._serial += 1
            name = f"{self._prefix}{which}_{self._serial}"
            with self._admin() as connection:
                connection.execute(
                    text(f"CREATE DATABASE {name} TEMPLATE {source_name} STRATEGY FILE_COPY")
                )
            self._made.add(name)
            return self._url(name)
        made = self.create(which)
        name = str(make_url(made).database)
        with self._admin() as connection:
            connection.execute(text("SET foreign_key_checks = 0"))
            for table in metadata.sorted_tables:
                connection.execute(
                    text(
                        f"INSERT INTO {name}.{table.name} SELECT * FROM {source_name}.{table.name}"
                    )
                )
        return made

    def drop(self, url: str) -> None:
        """Drop a database."""
        name = str(make_url(url).database)
        if self.engine == "sqlite":
            for suffix in ("", "-wal", "-shm"):
                Path(name + suffix).unlink(missing_ok=True)
            return
        force = "WITH (FORCE)" if self.engine == "postgresql" else ""
        with self._admin() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} {force}"))
        self._made.discard(name)

    def drop_all(self) -> None:
        """Drop what is left of all that was made."""
        for name in sorted(self._made):
            self.drop(self._url(name))


@contextmanager
def working(engine: str) -> Iterator[Databases]:
    """Give databases of an engine, which are gone afterwards, and a folder with them."""
    with tempfile.TemporaryDirectory(prefix="consignment-bench-") as folder:
        databases = Databases(engine, Path(folder))
        try:
            yield databases
        finally:
            databases.drop_all()


def opened_engine(url: str, *, autocommit: bool = False, checks: bool = True) -> Engine:
    """Give the engine that hand-written code uses, with the guarantees that the library has.

    SQLite: WAL, synchronous FULL, BEGIN IMMEDIATE; the servers as they are. `autocommit` is for
    queries: no transaction around each. Without `checks` foreign keys are not looked at.
    """
    address = make_url(url)
    driver = _DRIVERS.get(address.drivername, address.drivername)
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
    made = create_engine(address.set(drivername=driver), **options)
    if driver.startswith("sqlite"):

        @event.listens_for(made, "connect")
        def _connect(connection: Any, _: Any) -> None:  # noqa: ANN401 - the driver's
            connection.isolation_level = None
            keys = "ON" if checks else "OFF"
            for pragma in ("journal_mode=WAL", "synchronous=FULL", f"foreign_keys={keys}"):
                connection.execute(f"PRAGMA {pragma}")

        if not autocommit:

            @event.listens_for(made, "begin")
            def _begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
                connection.exec_driver_sql("BEGIN IMMEDIATE")

    elif not checks:
        statement = (
            "SET session_replication_role = replica; SET enable_seqscan = off"
            if driver.startswith("postgresql")
            else "SET foreign_key_checks = 0"
        )

        @event.listens_for(made, "connect")
        def _unchecked(connection: Any, _: Any) -> None:  # noqa: ANN401 - the driver's
            connection.cursor().execute(statement)
            connection.commit()

    return made
