"""The database engines that tests run on, each with databases of the tests' own.

Servers are found at the addresses in `CONSIGNMENT_TEST_POSTGRESQL` and `CONSIGNMENT_TEST_MARIADB`,
by default on this machine; whoever they name may create databases. A test that asks for a server
which is not there is skipped, and says so in one line; with `CI=true` it fails.
"""

from __future__ import annotations

import atexit
import os
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from shutil import copyfile, rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from consignment.adapters.sqlalchemy import upgrade
from consignment.adapters.sqlalchemy.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

__all__ = ["ENGINES", "SERVERS", "admin", "described", "empty", "needed", "scratch"]

SERVERS = ("postgresql", "mariadb")
ENGINES = ("sqlite", *SERVERS)

_NAMES = {"postgresql": "PostgreSQL", "mariadb": "MariaDB"}
_DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
_ADDRESSES = {
    "postgresql": "postgresql://postgres@127.0.0.1:5432/postgres",
    "mariadb": "mariadb://root@127.0.0.1:3306/",
}
#: Databases of the tests end in the process that made them.
_PREFIX = "consignment_test_"


def address(engine: str) -> URL:
    """Give where a server is to be found."""
    variable = f"CONSIGNMENT_TEST_{engine.upper()}"
    return make_url(os.environ.get(variable) or _ADDRESSES[engine])


def admin(engine: str) -> Engine:
    """Give an engine that creates and drops databases, in autocommit mode."""
    url = address(engine).set(drivername=_DRIVERS[engine])
    return create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        connect_args={"connect_timeout": 3},
    )


@cache
def missing(engine: str) -> str | None:
    """Say why a server cannot be used, None when it can."""
    try:
        with admin(engine).connect() as connection:
            connection.scalar(text("SELECT 1"))
    except DBAPIError as error:
        return f"{_NAMES[engine]} is not there: {str(error.orig).partition(chr(10))[0]}"
    return None


def described(engine: str) -> str:
    """Give an engine's name and version, or why it is not there."""
    if engine not in SERVERS:
        return engine
    if why := missing(engine):
        return why
    with admin(engine).connect() as connection:
        version = str(connection.scalar(text("SELECT version()")))
    return f"{engine} {version.removeprefix('PostgreSQL ').split()[0].partition('-')[0]}"


def needed(engine: str) -> None:
    """Skip the test unless the engine is there; in CI a missing one is a failure."""
    if engine in SERVERS and (why := missing(engine)):
        if os.environ.get("CI") == "true":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)


def _left_behind(name: str) -> bool:
    process = name.removeprefix(_PREFIX).partition("_")[0]
    if not name.startswith(_PREFIX) or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@cache
def _tidied(engine: str) -> None:
    """Drop what processes that are no more have left behind."""
    listing = {
        "postgresql": "SELECT datname FROM pg_database",
        "mariadb": "SELECT schema_name FROM information_schema.schemata",
    }
    with admin(engine).connect() as connection:
        names = [str(row[0]) for row in connection.execute(text(listing[engine]))]
    for name in names:
        if _left_behind(name):
            _drop(engine, name)


def _create(engine: str, name: str) -> str:
    _tidied(engine)
    making = {
        "postgresql": f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0",
        "mariadb": f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
    }
    with admin(engine).connect() as connection:
        connection.execute(text(making[engine]))
    return (
        address(engine).set(drivername=engine, database=name).render_as_string(hide_password=False)
    )


def _drop(engine: str, name: str) -> None:
    force = " WITH (FORCE)" if engine == "postgresql" else ""
    with admin(engine).connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}{force}"))


@cache
def _template() -> Path:
    """Make a SQLite file with the schema, to be copied."""
    path = Path(mkdtemp(prefix=_PREFIX)) / "empty.db"
    atexit.register(rmtree, path.parent, ignore_errors=True)
    upgrade(f"sqlite:///{path}")
    return path


@cache
def _kept(engine: str, process: int, which: str) -> str:
    """Give a database with the schema, made once for this process."""
    name = f"{_PREFIX}{process}_{which}"
    url = _create(engine, name)
    atexit.register(_drop_if_own, engine, name, process)
    upgrade(url)
    return url


def _drop_if_own(engine: str, name: str, process: int) -> None:
    if os.getpid() == process:
        _drop(engine, name)


def empty(engine: str, folder: Path, which: str = "desk") -> str:
    """Give the address of a database with the schema and no row in it; skip when there is none.

    On a server it is the same database each time, emptied; another one for another `which`. SQLite
    gets a new file in `folder`.
    """
    needed(engine)
    if engine == "sqlite":
        path = folder / f"{which}.db"
        copyfile(_template(), path)
        return f"sqlite:///{path}"
    url = _kept(engine, os.getpid(), which)
    wiping = create_engine(make_url(url).set(drivername=_DRIVERS[engine]), poolclass=NullPool)
    with wiping.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    return url


@contextmanager
def scratch(engine: str, folder: Path, which: str) -> Iterator[str]:
    """Give the address of a database without any table, which is dropped afterwards."""
    needed(engine)
    if engine == "sqlite":
        yield f"sqlite:///{folder / f'{which}.db'}"
        return
    name = f"{_PREFIX}{os.getpid()}_{which}"
    url = _create(engine, name)
    try:
        yield url
    finally:
        _drop(engine, name)
