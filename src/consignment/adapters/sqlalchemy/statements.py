"""Statements: written in SQLAlchemy Core, compiled once, carried out on the driver's cursor.

SQLAlchemy writes the SQL for each engine, and keeps the connections. Between compiling and the
driver it does nothing here, because each of its executions costs as much as ten of SQLite's:
three inserts and three look-ups in one transaction took 254 µs through `Connection.execute`,
161 µs through `exec_driver_sql` and 44 µs on the cursor.
"""

from __future__ import annotations

from bisect import bisect_left
from enum import Enum
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Insert, literal_column
from sqlalchemy.sql.base import Executable

from consignment.domain.errors import StaleWrite, StorageReadOnly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import DBAPICursor

    from consignment.domain.errors import StorageError

__all__ = ["KEYS", "Lock", "Session", "Statement", "one_of"]

#: The name of the parameter that a list of keys is given for: `column.in_(bindparam(KEYS, …))`.
KEYS = "keys"

#: Lists of keys are filled up to one of these lengths, so that few forms of a statement exist;
#: longer ones are looked up in parts. Some engines take no more than 999 parameters.
_LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900)

Row = tuple[Any, ...]


class Lock(Enum):
    """How a writing transaction keeps the rows that it reads from being changed by others.

    A select with a lock gives rows as they are now, waits for who is changing them, and is
    ordered by a key that never changes, so that two transactions never wait in a circle. An engine
    with one writer at a time (SQLite) has no use for it; a transaction that only reads locks
    nothing.
    """

    #: They are going to be changed.
    CHANGE = "change"
    #: They are to stay as they are.
    KEEP = "keep"
    #: They are going to be changed; those that another transaction has locked are left out.
    FREE = "free"


_FOR_UPDATE: dict[Lock, dict[str, bool]] = {
    # Others may still refer to the rows by foreign keys: nobody changes a key.
    Lock.CHANGE: {"key_share": True},
    Lock.KEEP: {"read": True},
    Lock.FREE: {"key_share": True, "skip_locked": True},
}


def one_of(column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """Write `column IN (…)` with constants in the text, as a partial index has them."""
    return column.in_([literal_column(f"'{value}'") for value in values])


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Compiled:
    """A statement for one engine: its text, and how values given in order become parameters."""

    __slots__ = ("_constants", "_names", "_pick", "_positional", "text")

    def __init__(
        self,
        core: Any,  # noqa: ANN401 - any statement
        dialect: Dialect,
        names: tuple[str, ...],
        keys: int | None,
    ) -> None:
        if keys is None:
            compiled = core.compile(dialect=dialect)
            given = names
        else:
            dummies: dict[str, Any] = {**dict.fromkeys(names), KEYS: [""] * keys}
            compiled = core.params(dummies).compile(
                dialect=dialect, compile_kwargs={"render_postcompile": True}
            )
            given = (*(f"{KEYS}_{i + 1}" for i in range(keys)), *names)
        self.text: str = compiled.string
        self._positional = compiled.positiontup is not None
        marks = compiled.positiontup if self._positional else compiled.bind_names.values()
        constants = {
            mark: compiled.binds[mark].effective_value for mark in marks if mark not in given
        }
        self._constants: Row = tuple(constants.values())
        self._names = (*given, *constants)
        order = [self._names.index(mark) for mark in marks]
        self._pick: Callable[[Row], Row] | None = None
        if order != list(range(len(given))):
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
        if self._positional and self._pick is None:
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
        self._by_dialect: dict[tuple[str, str, int | None, Lock | None], _Compiled] = {}

    def compiled(
        self, dialect: Dialect, keys: int | None = None, lock: Lock | None = None
    ) -> _Compiled:
        """Give the statement as a dialect writes it, for so many keys, and with a lock."""
        form = dialect.name, dialect.driver, keys, lock
        found = self._by_dialect.get(form)
        if found is None:
            core = self._core
            if not isinstance(core, Executable):
                core = core(dialect.name)
            if lock is not None:
                core = core.with_for_update(**_FOR_UPDATE[lock])  # type: ignore[attr-defined] # a select
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

    __slots__ = ("_cursor", "_dialect", "_errors", "_told", "_writable", "failure")

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
        # Beside the driver's own: a number beyond 64 bits, half a surrogate pair.
        self._errors = (dialect.loaded_dbapi.Error, OverflowError, UnicodeError)
        self._told = told
        self._writable = writable
        self.failure: StorageError | None = None

    def rows(self, statement: Statement, *values: Any, lock: Lock | None = None) -> list[Row]:  # noqa: ANN401 - plain values
        """Give the rows that a select finds, for values in the order of its names.

        Text that no database keeps (half a surrogate pair, from outside) finds nothing. With a
        `lock` nobody else changes them before this transaction ends; it is ignored while reading.
        """
        form = statement.compiled(self._dialect, lock=lock if self._writable else None)
        return self._fetched(form.text, form.parameters(values))

    def rows_by(
        self,
        statement: Statement,
        keys: Iterable[str],
        *values: Any,  # noqa: ANN401 - plain values
        lock: Lock | None = None,
    ) -> list[Row]:
        """Give the rows that a select finds by a list of keys; text and lock as in `rows`."""
        wanted = [key for key in dict.fromkeys(keys) if key.isascii() or _storable(key)]
        found: list[Row] = []
        for start in range(0, len(wanted), _LENGTHS[-1]):
            part = wanted[start : start + _LENGTHS[-1]]
            length = _LENGTHS[bisect_left(_LENGTHS, len(part))]
            part += part[-1:] * (length - len(part))
            form = statement.compiled(self._dialect, length, lock if self._writable else None)
            found += self._fetched(form.text, form.parameters((*part, *values)))
        return found

    def run(self, statement: Statement, rows: Sequence[Row]) -> int:
        """Carry out a write for each row of values; give how many rows it found, in all.

        Every driver in question sums them up over the values it was given.
        """
        if not self._writable:
            raise StorageReadOnly("this transaction only reads")
        if not rows:
            return 0
        form = statement.compiled(self._dialect)
        try:
            if len(rows) == 1:
                self._cursor.execute(form.text, form.parameters(rows[0]))
            else:
                self._cursor.executemany(form.text, form.many(rows))
        except self._errors as error:
            raise self._failed(error) from error
        return self._cursor.rowcount

    def change(self, statement: Statement, rows: Sequence[Row], what: str) -> None:
        """Carry out a write that must find one row for each row of values, else `StaleWrite`."""
        if self.run(statement, rows) != len(rows):
            self.failure = StaleWrite(f"{what}: no longer as it was read")
            raise self.failure

    def _fetched(self, text: str, parameters: Any) -> list[Row]:  # noqa: ANN401 - what the driver takes
        try:
            self._cursor.execute(text, parameters)
            return self._cursor.fetchall()  # type: ignore[return-value] # drivers give tuples
        except UnicodeEncodeError:
            # Nothing was carried out: no row can have that text.
            return []
        except self._errors as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StorageError:
        self.failure = self._told(error)
        return self.failure
