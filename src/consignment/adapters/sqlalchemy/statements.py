"""Statements: written in SQLAlchemy Core, compiled once, carried out on the driver's cursor.

SQLAlchemy writes the SQL for each engine, and keeps the connections. Between compiling and the
driver it does nothing here, because each of its executions costs as much as ten of SQLite's:
three inserts and three look-ups in one transaction took 254 µs through `Connection.execute`,
161 µs through `exec_driver_sql` and 44 µs on the cursor.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Delete, Insert, Select, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import DBAPICursor
    from sqlalchemy.sql.base import Executable

    from consignment.domain.errors import StorageError

__all__ = ["KEYS", "Session", "Statement"]

#: The name of the parameter that a list of keys is given for: `column.in_(bindparam(KEYS, …))`.
KEYS = "keys"

#: Lists of keys are filled up to one of these lengths, so that few forms of a statement exist;
#: longer ones are looked up in parts. Some engines take no more than 999 parameters.
_LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900)

Row = tuple[Any, ...]


class _Compiled:
    """A statement for one engine: its text, and how values given in order become parameters."""

    __slots__ = ("_constants", "_names", "_pick", "_positional", "text")

    def __init__(
        self, core: Executable, dialect: Dialect, names: tuple[str, ...], keys: int | None
    ) -> None:
        given: tuple[str, ...] = names
        if keys is not None:
            given = (*(f"{KEYS}_{i + 1}" for i in range(keys)), *names)
        dummies: dict[str, Any] = dict.fromkeys(names)
        if keys is not None:
            dummies[KEYS] = [""] * keys
        statement: Any = core
        if isinstance(core, Select):
            statement = core.params(dummies)
        compiled = statement.compile(
            dialect=dialect,
            **({"compile_kwargs": {"render_postcompile": True}} if keys is not None else {}),
        )
        self.text: str = compiled.string
        marks: list[str] = (
            list(compiled.bind_names.values())
            if compiled.positiontup is None
            else list(compiled.positiontup)
        )
        self._positional = compiled.positiontup is not None
        constants = {
            mark: compiled.binds[mark].effective_value for mark in marks if mark not in given
        }
        self._constants = tuple(constants.values())
        self._names = (*given, *constants)
        order = [self._names.index(mark) for mark in marks]
        self._pick: Callable[[Row], Row] | None = None
        if self._positional and order != list(range(len(given))):
            # `itemgetter` of one place gives the value itself, not a row of it.
            first = order[0]
            self._pick = itemgetter(*order) if len(order) > 1 else lambda row: (row[first],)

    def parameters(self, values: Row) -> Any:  # noqa: ANN401 - what the driver takes
        """Give the driver's parameters for values in the statement's order."""
        if self._constants:
            values = (*values, *self._constants)
        if not self._positional:
            return dict(zip(self._names, values, strict=True))
        return values if self._pick is None else self._pick(values)

    def many(self, rows: Sequence[Row]) -> Sequence[Any]:
        """Give the driver's parameters for several rows."""
        if self._positional and self._pick is None and not self._constants:
            return rows
        return [self.parameters(row) for row in rows]


class Statement:
    """A statement with named parameters, whose values are given in the order of the names.

    An insert takes all columns of its table, in the table's order. A statement that finds rows by
    a list of keys has `column.in_(bindparam(KEYS, expanding=True))`. What an engine writes its own
    way is given as a function of the dialect's name.
    """

    __slots__ = ("_by_dialect", "_core", "_names")

    def __init__(self, core: Executable | Callable[[str], Executable], *names: str) -> None:
        self._core = core
        self._names = names
        self._by_dialect: dict[tuple[str, str, int | None], _Compiled] = {}

    def compiled(self, dialect: Dialect, keys: int | None = None) -> _Compiled:
        """Give the statement as a dialect writes it, for so many keys."""
        form = dialect.name, dialect.driver, keys
        found = self._by_dialect.get(form)
        if found is None:
            core: Any = self._core
            if not isinstance(core, Select | Insert | Update | Delete):
                core = core(dialect.name) if callable(core) else core
            names = self._names
            if isinstance(core, Insert) and not names:
                names = tuple(column.name for column in core.table.columns)
            found = self._by_dialect[form] = _Compiled(core, dialect, names, keys)
        return found


class Session:
    """One transaction's connection: carries out statements, and tells errors as our own.

    After an error the transaction cannot be committed any more (`failure`): an engine may have
    carried out a part of the statement, or have given up the transaction.
    """

    __slots__ = ("_cursor", "_dialect", "_told", "_writable", "failure")

    def __init__(
        self,
        cursor: DBAPICursor,
        dialect: Dialect,
        told: Callable[[Exception], StorageError],
        *,
        writable: bool,
    ) -> None:
        self._cursor = cursor
        self._dialect = dialect
        self._told = told
        self._writable = writable
        self.failure: StorageError | None = None
