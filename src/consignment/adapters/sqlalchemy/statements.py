"""Statements: written in SQLAlchemy Core, compiled once, carried out on the driver's cursor.

A statement for many rows is carried out as one where the engine has a way to send them together
(see `_many`): on a server the round trips cost more than the work.

SQLAlchemy writes the SQL for each engine, and keeps the connections. Between compiling and the
driver it does nothing here, because each of its executions costs as much as ten of SQLite's:
three inserts and three look-ups in one transaction took 254 µs through `Connection.execute`,
161 µs through `exec_driver_sql` and 44 µs on the cursor.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from enum import Enum
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import attrs
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Delete,
    Insert,
    Integer,
    Text,
    Update,
    any_,
    bindparam,
    column,
    func,
    literal_column,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.elements import BinaryExpression

from consignment.domain.errors import StaleWrite, StorageReadOnly

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from sqlalchemy import ColumnElement, FromClause
    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import DBAPICursor
    from sqlalchemy.types import TypeEngine

    from consignment.domain.errors import StorageError

__all__ = ["KEYS", "Lock", "Session", "Statement", "one_of"]

#: The name of the parameter that a list of keys is given for: `column.in_(bindparam(KEYS, …))`.
KEYS = "keys"

#: Lists of keys are filled up to one of these lengths, so that few forms of a statement exist;
#: longer ones are looked up in parts. Some engines take no more than 999 parameters.
_LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900)

#: From how many rows on an insert on PostgreSQL is a COPY, which has a cost of its own.
_COPIED_FROM = 250

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
    """Tell whether every database keeps a text: no NUL, no half of a surrogate pair."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _table_of(core: Any) -> str:  # noqa: ANN401 - any statement
    return str(core.table) if isinstance(core, (Insert, Update, Delete)) else ""


class _Compiled:
    """A statement for one engine: its text, and how values given in order become parameters."""

    __slots__ = ("_constants", "_names", "_pick", "_positional", "table", "text")

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
        #: What a write changes.
        self.table = _table_of(core)
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

    def parameters_of(self, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - what the driver takes
        """Give the driver's parameters for the only row."""
        (row,) = rows
        return self.parameters(row)

    def many(self, rows: Sequence[Row]) -> Sequence[Any]:
        """Give the driver's parameters for several rows, one after the other."""
        if self._positional and self._pick is None:
            return rows
        return [self.parameters(row) for row in rows]


#: The name of the rows in a statement that carries many.
_ROWS = "given"


class _Many:
    """A statement that carries many rows at once: its text, and their values as parameters."""

    __slots__ = ("_constants", "_names", "table", "text")

    def __init__(self, core: Any, dialect: Dialect, names: tuple[str, ...]) -> None:  # noqa: ANN401 - any statement
        compiled = core.compile(dialect=dialect)
        self.text: str = compiled.string
        self.table = _table_of(core)
        self._names = names
        self._constants = {
            mark: bind.effective_value
            for mark, bind in compiled.binds.items()
            if mark not in names and mark in (compiled.positiontup or compiled.bind_names.values())
        }

    def parameters_of(self, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - what the driver takes
        """Give the driver's parameters for all rows."""
        raise NotImplementedError


class _Arrays(_Many):
    """PostgreSQL: an array for each column (`unnest`); or COPY, which is four times as fast."""

    __slots__ = ("copy",)

    def __init__(self, core: Any, dialect: Dialect, names: tuple[str, ...]) -> None:  # noqa: ANN401 - any statement
        super().__init__(core, dialect, names)
        #: The COPY that does the same, None where COPY cannot.
        self.copy: str | None = None
        if isinstance(core, Insert) and core._post_values_clause is None:  # noqa: SLF001 - as below
            self.copy = f"COPY {core.table.name} ({', '.join(names)}) FROM STDIN"

    def parameters_of(self, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - what the driver takes
        columns = map(_array, zip(*rows, strict=True))
        return {**dict(zip(self._names, columns, strict=True)), **self._constants}


#: What no value of a column is likely to have in it.
_NULL, _NEXT = "\1", "\2"


def _array(values: Sequence[Any]) -> str:
    """Write an array as PostgreSQL reads it; the driver takes ten times as long for each item."""
    if not any(isinstance(value, str) for value in values):
        return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
    joined = _NEXT.join([_NULL if value is None else value for value in values])
    if joined.count(_NEXT) != len(values) - 1 or joined.count(_NULL) != values.count(None):
        items = ["NULL" if value is None else f'"{_escaped(value)}"' for value in values]
        return "{" + ",".join(items) + "}"
    quoted = '"' + _escaped(joined).replace(_NEXT, '","') + '"'
    return "{" + quoted.replace(f'"{_NULL}"', "NULL") + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


class _Document(_Many):
    """MariaDB: one JSON text (`JSON_TABLE`), which is read before the table it joins.

    So rows are found by the primary key and locked in the order in which they were given: without
    `STRAIGHT_JOIN` a small table is looked at as a whole, and rows of others are waited for.
    """

    __slots__ = ("_positional",)

    def __init__(self, core: Any, dialect: Dialect, names: tuple[str, ...], types: str) -> None:  # noqa: ANN401 - any statement
        super().__init__(core, dialect, names)
        target = core.table.name
        head = f"UPDATE {target}, {_ROWS} SET "  # noqa: S608 - names are our own
        if not self.text.startswith(head):
            raise RuntimeError(f"not as SQLAlchemy used to write it: {self.text[:80]}")
        self._positional = dialect.positional
        mark = "%s" if dialect.positional else f"%({_ROWS})s"
        self.text = (
            f"UPDATE JSON_TABLE({mark}, '$[*]' COLUMNS ({types})) AS {_ROWS} "  # noqa: S608 - likewise
            f"STRAIGHT_JOIN {target} FORCE INDEX (PRIMARY) SET {self.text[len(head) :]}"
        )

    def parameters_of(self, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - what the driver takes
        document = json.dumps(rows, ensure_ascii=False)
        if self._positional:
            return (document, *self._constants.values())
        return {_ROWS: document, **self._constants}


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    # A cast to a length would cut a value off; the column's own check refuses it.
    if isinstance(kind, Boolean):
        return Boolean()
    return BigInteger() if isinstance(kind, Integer) else Text()


def _json_type(kind: TypeEngine[Any]) -> str:
    if isinstance(kind, (Boolean, Integer)):
        return "BIGINT"
    return "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"


def _many(core: Any, names: tuple[str, ...], dialect: Dialect) -> _Many | None:  # noqa: ANN401 - any statement
    """Rewrite an insert or update of one row into one of many; None where there is no such way.

    (The driver of MariaDB writes an insert's rows into one statement by itself.)
    """
    if dialect.name == "postgresql":
        if isinstance(core, Insert):
            given = _unnested(names, [_plain(core.table.c[name].type) for name in names])
            many = type(core)(core.table).from_select(
                list(names), select(*given.c), include_defaults=False
            )
            # What is to happen where the row is there already (`on_conflict_do_update`).
            many._post_values_clause = core._post_values_clause  # noqa: SLF001 - not in its public methods
            return _Arrays(many, dialect, names)
        if isinstance(core, Update):
            given = _unnested(names, _kinds(core, names, dialect))
            return _Arrays(_with_columns(core, names, given), dialect, names)
    elif dialect.name in {"mysql", "mariadb"} and isinstance(core, Update):
        kinds = _kinds(core, names, dialect)
        types = ", ".join(
            f"{name} {_json_type(kind)} PATH '$[{i}]' ERROR ON ERROR"
            for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
        )
        given = table(_ROWS, *map(column, names, kinds))
        return _Document(_with_columns(core, names, given), dialect, names, types)
    return None


def _kinds(core: Update, names: Sequence[str], dialect: Dialect) -> list[TypeEngine[Any]]:
    binds = core.compile(dialect=dialect).binds
    return [_plain(binds[name].type) for name in names]


def _with_columns(core: Update, names: Collection[str], given: FromClause) -> Any:  # noqa: ANN401 - a statement
    def of_row(element: Any, **_: Any) -> Any:  # noqa: ANN401 - any element
        if isinstance(element, BindParameter) and element.key in names:
            return given.c[element.key]
        return None

    return visitors.replacement_traverse(core, {}, of_row)


def _unnested(names: Sequence[str], kinds: Sequence[TypeEngine[Any]]) -> FromClause:
    arrays = [bindparam(name, type_=ARRAY(kind)) for name, kind in zip(names, kinds, strict=True)]
    return func.unnest(*arrays).table_valued(*map(column, names, kinds)).render_derived(name=_ROWS)


def _any_of_keys(core: Any) -> Any:  # noqa: ANN401 - a statement
    """Write `column = ANY(:keys)` for `column IN (…)`: one form, however many keys there are."""

    def array(element: Any, **_: Any) -> Any:  # noqa: ANN401 - any element
        if isinstance(element, BinaryExpression) and element.operator is operators.in_op:
            right = element.right
            if isinstance(right, BindParameter) and right.key == KEYS:
                return element.left == any_(bindparam(KEYS, type_=ARRAY(Text())))
        return None

    return visitors.replacement_traverse(core, {}, array)


class Statement:
    """A statement with named parameters, whose values are given in the order of the names.

    An insert takes all columns of its table, in the table's order. A statement that finds rows by
    a list of keys has `column.in_(bindparam(KEYS, expanding=True))`. What an engine writes its own
    way is given as a function of the dialect's name.
    """

    __slots__ = ("_forms", "_many", "_names", "_write")

    def __init__(self, core: Executable | Callable[[str], Executable], *names: str) -> None:
        self._write = (lambda _: core) if isinstance(core, Executable) else core
        self._names = names
        self._forms: dict[tuple[str, int | None, Lock | None], _Compiled] = {}
        self._many: dict[str, _Many | None] = {}

    def _core(self, dialect: Dialect) -> tuple[Executable, tuple[str, ...]]:
        core = self._write(dialect.name)
        names = self._names
        if isinstance(core, Insert) and not names:
            names = tuple(each.name for each in core.table.columns)
        return core, names

    def compiled(
        self, dialect: Dialect, keys: int | None = None, lock: Lock | None = None
    ) -> _Compiled:
        """Give the statement as a dialect writes it, for so many keys, and with a lock."""
        form = dialect.name, keys, lock
        found = self._forms.get(form)
        if found is None:
            core, names = self._core(dialect)
            if lock is not None:
                core = core.with_for_update(**_FOR_UPDATE[lock])  # type: ignore[attr-defined] # a select
            if keys is not None and dialect.name == "postgresql":
                core, names, keys = _any_of_keys(core), (KEYS, *names), None
            found = self._forms[form] = _Compiled(core, dialect, names, keys)
        return found

    def many(self, dialect: Dialect) -> _Many | None:
        """Give the form that carries many rows at once, None where there is none."""
        if dialect.name not in self._many:
            core, names = self._core(dialect)
            self._many[dialect.name] = _many(core, names, dialect)
        return self._many[dialect.name]


#: Engines that are sent several writes as one statement: one with writable CTEs.
GATHERING: Final = frozenset({"postgresql"})

_MARK = re.compile(r"%\((\w+)\)s")


@attrs.frozen
class _Write:
    """A write that is to be carried out: on a table, with how many rows it has to find, if any."""

    text: str
    parameters: dict[str, Any]
    table: str
    expected: int | None
    what: str


@lru_cache(maxsize=256)
def _together(texts: tuple[str, ...]) -> str:
    """Write several writes as one statement, which gives how many rows each of them found.

    They are carried out in their order, because each is counted in its turn, and see the tables as
    they were before; so each is on a table of its own.
    """
    parts = []
    for i, text in enumerate(texts):
        own = _MARK.sub(lambda mark, i=i: f"%(w{i}_{mark[1]})s", text)  # type: ignore[misc] # bound now
        parts.append(f"w{i} AS ({own} RETURNING 1)")
    counts = [f"(SELECT count(*) FROM w{i})" for i in range(len(texts))]  # noqa: S608 - numbers
    return f"WITH {', '.join(parts)} SELECT {', '.join(counts)}"


class Session:
    """One transaction's connection: carries out statements, and tells errors as our own.

    After an error the transaction cannot be committed any more (`failure`): an engine may have
    carried out a part of the statement, or have given up the transaction.
    """

    __slots__ = (
        "_cursor",
        "_dialect",
        "_errors",
        "_gathered",
        "_spread",
        "_told",
        "_writable",
        "failure",
        "journal_entry_id",
    )

    def __init__(
        self,
        cursor: DBAPICursor,
        dialect: Dialect,
        told: Callable[[Exception], StorageError],
        *,
        writable: bool,
        spread: bool = False,
    ) -> None:
        self._cursor = cursor
        self._dialect = dialect
        # Beside the driver's own: a number beyond 64 bits, half a surrogate pair.
        self._errors = (dialect.loaded_dbapi.Error, OverflowError, UnicodeError)
        self._told = told
        self._writable = writable
        self._spread = spread
        self._gathered: list[_Write] = []
        self.failure: StorageError | None = None
        #: The entry that this transaction made in the journal.
        self.journal_entry_id: str | None = None

    @property
    def engine(self) -> str:
        """The engine's name, as SQLAlchemy has it."""
        return self._dialect.name

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
        wanted = [key for key in dict.fromkeys(keys) if _storable(key)]
        found: list[Row] = []
        writable_lock = lock if self._writable else None
        if wanted and self._dialect.name == "postgresql":
            form = statement.compiled(self._dialect, 0, writable_lock)
            return self._fetched(form.text, form.parameters((wanted, *values)))
        for start in range(0, len(wanted), _LENGTHS[-1]):
            part = wanted[start : start + _LENGTHS[-1]]
            length = _LENGTHS[bisect_left(_LENGTHS, len(part))]
            part += part[-1:] * (length - len(part))
            form = statement.compiled(self._dialect, length, writable_lock)
            found += self._fetched(form.text, form.parameters((*part, *values)))
        return found

    def run(self, statement: Statement, rows: Sequence[Row]) -> int:
        """Carry out a write for each row of values; give how many rows it found, in all.

        Rows of a change have different keys: some engines carry them out as one statement, in
        which a row is changed once. Where rows are given in rising order they are locked in it.
        """
        self.check_writable()
        if not rows:
            return 0
        self.flush()
        form = self._form(statement, rows)
        try:
            if isinstance(form, _Arrays) and form.copy and len(rows) >= _COPIED_FROM:
                self._copy(form.copy, rows)
                return len(rows)
            if form is not None:
                self._cursor.execute(form.text, form.parameters_of(rows))
            else:
                each = statement.compiled(self._dialect)
                self._cursor.executemany(each.text, each.many(rows))
        except self._errors as error:
            raise self._failed(error) from error
        return self._cursor.rowcount

    def add(self, statement: Statement, rows: Sequence[Row]) -> None:
        """Carry out an insert for each row of values, before anything is read, or committed.

        Where there may be such rows already the caller does not mind how many were inserted.
        """
        if not self._gather(statement, rows, None, ""):
            self.run(statement, rows)

    def touch(self, statement: Statement, rows: Iterable[Row]) -> None:
        """Change rows, for those who decide on the same beside us; does nothing on most engines.

        Where locks hold on one of several nodes only (Galera), of two transactions that touch the
        same row one is given up.
        """
        if self._spread:
            self.run(statement, sorted(set(rows)))

    def _copy(self, text: str, rows: Sequence[Row]) -> None:
        cursor: Any = self._cursor  # psycopg's: not in the standard for drivers
        with cursor.copy(text) as copy:
            for row in rows:
                copy.write_row(row)

    def change(self, statement: Statement, rows: Sequence[Row], what: str) -> None:
        """Carry out a write that must find one row for each row of values, else `StaleWrite`.

        It is raised here, or when something is read, or committed.
        """
        if not self._gather(statement, rows, len(rows), what):
            self._check(self.run(statement, rows), len(rows), what)

    def _gather(
        self, statement: Statement, rows: Sequence[Row], expected: int | None, what: str
    ) -> bool:
        """Keep a write, to be sent with others; False where that is of no use."""
        if self._dialect.name not in GATHERING or len(rows) >= _COPIED_FROM:
            return False
        self.check_writable()
        if not rows:
            return True
        form = self._form(statement, rows)
        if form is None:
            return False
        if any(write.table == form.table for write in self._gathered):
            self.flush()
        parameters = form.parameters_of(rows)
        self._gathered.append(_Write(form.text, parameters, form.table, expected, what))
        return True

    def _form(self, statement: Statement, rows: Sequence[Row]) -> _Compiled | _Many | None:
        """Give the form that carries all rows in one go, None where each goes by itself."""
        if len(rows) == 1:
            return statement.compiled(self._dialect)
        return statement.many(self._dialect)

    def flush(self) -> None:
        """Carry out what was gathered; before a commit, and before anything else."""
        writes = self._gathered
        if not writes:
            return
        self._gathered = []
        try:
            if len(writes) == 1:
                self._cursor.execute(writes[0].text, writes[0].parameters)
                counts: Sequence[int] = [self._cursor.rowcount]
            else:
                parameters = {
                    f"w{i}_{name}": value
                    for i, write in enumerate(writes)
                    for name, value in write.parameters.items()
                }
                text = _together(tuple(write.text for write in writes))
                self._cursor.execute(text, parameters)
                counts = self._cursor.fetchall()[0]
        except self._errors as error:
            raise self._failed(error) from error
        for write, count in zip(writes, counts, strict=True):
            if write.expected is not None:
                self._check(count, write.expected, write.what)

    def _check(self, found: int, expected: int, what: str) -> None:
        if found != expected:
            self.failure = StaleWrite(f"{what}: no longer as it was read")
            raise self.failure

    def check_writable(self) -> None:
        """Raise `StorageReadOnly` in a transaction that only reads."""
        if not self._writable:
            raise StorageReadOnly("this transaction only reads")

    def _fetched(self, text: str, parameters: Any) -> list[Row]:  # noqa: ANN401 - what the driver takes
        self.flush()
        try:
            self._cursor.execute(text, parameters)
            found = self._cursor.fetchall()
        except UnicodeEncodeError:
            # Nothing was carried out: no row can have that text.
            return []
        except self._errors as error:
            raise self._failed(error) from error
        # Every driver gives tuples; PyMySQL gives a tuple of them.
        return found if isinstance(found, list) else list(found)

    def _failed(self, error: Exception) -> StorageError:
        self.failure = self._told(error)
        return self.failure
