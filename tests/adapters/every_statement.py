"""Every statement of the adapter, by the module and name it has, and as each engine writes it."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from consignment.adapters import sqlalchemy as adapter
from consignment.adapters.sqlalchemy import engines
from consignment.adapters.sqlalchemy.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy.engine import Dialect

__all__ = ["DIALECTS", "every_statement", "forms", "text_of"]

DIALECTS: dict[str, Dialect] = {
    name: make_url(f"{driver}://").get_dialect()()
    for name, driver in (
        ("sqlite", "sqlite"),
        ("postgresql", "postgresql+psycopg"),
        ("mariadb", "mariadb+pymysql"),
    )
}

_SERVERS = frozenset({"postgresql", "mariadb"})
#: Statements of some engines only: the index of names. (A cluster's are MariaDB's, all of them.)
_ONLY_ON = {
    "names._ADD_TERMS": frozenset({"sqlite"}),
    "names._REMOVE_TERMS": frozenset({"sqlite"}),
    "names._TERMS": frozenset({"sqlite"}),
    "names._ADD_ROWS": _SERVERS,
    "names._REMOVE_ROWS": _SERVERS,
    "names._EXACTLY": _SERVERS,
    "names._PLACES_OF": _SERVERS,
}


def every_statement() -> dict[str, Statement]:
    """Give all statements that the modules hold now; some are made when they are first needed."""
    found: dict[str, Statement] = {}
    seen: set[int] = set()
    for package in (engines, adapter):
        for module in iter_modules(package.__path__, f"{package.__name__}."):
            if module.name.endswith("migrations"):
                continue
            short = module.name.rpartition(".")[2]
            for name, value in vars(import_module(module.name)).items():
                for each, statement in _within(value, f"{short}.{name}"):
                    # One that is imported elsewhere too is met again.
                    if id(statement) not in seen:
                        seen.add(id(statement))
                        found[each] = statement
    return found


def _within(value: object, name: str) -> Iterator[tuple[str, Statement]]:
    if isinstance(value, Statement):
        yield name, value
    elif isinstance(value, tuple):
        for i, each in enumerate(value):
            yield from _within(each, f"{name}[{i}]")
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _within(each, f"{name}[{key}]")


def text_of(statement: Statement, dialect: Dialect) -> str:
    """Give the SQL of a statement; for four keys if it takes a list of them."""
    text = statement.compiled(dialect).text
    return statement.compiled(dialect, 4).text if "POSTCOMPILE" in text else text


def _engines_of(name: str) -> Collection[str]:
    if name.startswith("galera."):
        return {"mariadb"}
    return _ONLY_ON.get(name.partition("[")[0], DIALECTS)


def forms(name: str, statement: Statement) -> dict[str, list[str]]:
    """Give all SQL of a statement by engine: for one row, and for many."""
    found = {}
    for engine, dialect in DIALECTS.items():
        if engine not in _engines_of(name):
            continue
        many = statement.many(dialect)
        texts = [text_of(statement, dialect), getattr(many, "text", None)]
        texts.append(getattr(many, "copy", None))
        found[engine] = [text for text in texts if text is not None]
    return found
