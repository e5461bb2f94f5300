"""The rules of a schema that can be spread by partner, looked up in metadata and in SQL.

Each function gives the faults it finds, as text; an empty list when there is none.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

from sqlalchemy import Identity, Sequence, UniqueConstraint

from consignment.adapters.sqlalchemy.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column, ForeignKeyConstraint, MetaData, Table

__all__ = ["across", "faults_of_metadata", "faults_of_sql", "form", "written"]

PLACEMENTS = frozenset({"partner", "reference", "bank"})


# Tables.


def faults_of_metadata(tables: MetaData) -> list[str]:
    """Give what the tables do that cannot be spread."""
    return [f"{each.name}: {fault}" for each in tables.sorted_tables for fault in _of_table(each)]


def _of_table(table: Table) -> Iterator[str]:
    placement = table.info.get("placement")
    if placement not in PLACEMENTS:
        yield "no placement"
    if not table.primary_key.columns:
        yield "no primary key"
    for column in table.columns:
        yield from _of_column(column)
    for foreign in table.foreign_key_constraints:
        yield from _of_foreign(foreign)
    if placement == "partner":
        yield from _of_partner(table)


def _of_column(column: Column[object]) -> Iterator[str]:
    if column.primary_key and column.nullable:
        yield f"{column.name} is in the key and may be null"
    made = (
        column.server_default is not None
        and str(getattr(column.server_default, "arg", "made")) != "0"
    )
    if made or column.server_onupdate is not None or column.computed is not None:
        yield f"{column.name} is made by the database"
    if isinstance(column.default, Sequence) or isinstance(column.identity, Identity):
        yield f"{column.name} is counted by the database"
    if column.table.autoincrement_column is column:
        yield f"{column.name} is counted by the database"


def _of_foreign(foreign: ForeignKeyConstraint) -> Iterator[str]:
    table, other = foreign.table, foreign.referred_table
    if foreign.onupdate or foreign.ondelete:
        yield f"a change of {other.name} changes it"
    places = table.info.get("placement"), other.info.get("placement")
    if places == ("partner", "partner"):
        pairs = {(each.parent.name, each.column.name) for each in foreign.elements}
        if ("partner_id", "partner_id") not in pairs:
            yield f"a foreign key to {other.name} without the partner"
    elif places[1] != "reference":
        yield f"a foreign key from {places[0]} to {places[1]} ({other.name})"


def _of_partner(table: Table) -> Iterator[str]:
    if "partner_id" not in table.c:
        yield "no partner_id"
        return
    if table.c.partner_id.nullable:
        yield "partner_id may be null"
    uniques = [("primary key", list(table.primary_key.columns))]
    uniques += [
        ("unique key", list(each.columns))
        for each in table.constraints
        if isinstance(each, UniqueConstraint)
    ]
    uniques += [("unique index", list(each.columns)) for each in table.indexes if each.unique]
    for what, columns in uniques:
        if table.c.partner_id not in columns:
            yield f"a {what} without the partner"


# Statements.

_KEYS = {name: {c.name for c in each.primary_key} for name, each in metadata.tables.items()}
_PARTNERS = {n for n, each in metadata.tables.items() if each.info["placement"] == "partner"}

#: What gives another value each time, or at each place.
_MADE = re.compile(
    r"\b(now|current_timestamp|current_date|current_time|localtime|localtimestamp|random|rand"
    r"|nextval|currval|lastval|last_insert_id|uuid\w*|gen_random\w*|\w*_timestamp|sysdate|getdate"
    r"|datetime|strftime|timeofday)\b(?=\s*\(|\s*[,)\s]|$)"
)
_NAMES = r"(\w+)(?:\s+as\s+(\w+))?"
_SOURCES = re.compile(
    rf"\b(?:from|join|straight_join|update|into)\s+{_NAMES}((?:\s*,\s*{_NAMES})*)"
)
_SAME = re.compile(r"(\w+)\.partner_id\s*=\s*(\w+)\.partner_id\b")
#: The partner is named by a value, by a column of values given, or by a look-up of one value.
_NAMED = re.compile(
    r"(\w+)\.partner_id\s*=\s*(?:\?|%s|%\(\w+\)s(?:::\w+)?|given\.\w+|any\s*\(|\(select\b)"
    r"|(\w+)\.partner_id\s+in\s*\((?!select)"
)


#: Statements that add rows: the table, and its columns.
_ADDING = frozenset({"insert", "copy"})
_ADDED = re.compile(r"(?:insert(?: ignore)? into|copy) (\w+) ?(?:\(([^)]*)\))?")


def _plainly(sql: str) -> str:
    """Write SQL in one way: small letters, single blanks, no constants, no quoted names."""
    text = re.sub(r"'(?:[^']|'')*'", "'x'", sql)
    text = re.sub(r"\s+", " ", text.replace('"', "").replace("`", "")).strip().lower()
    return re.sub(r"/\*.*?\*/", "", text)


def _sources(text: str) -> dict[str, str]:
    """Give the tables of ours that are read or written, by the name they have there."""
    found = {}
    for match in _SOURCES.finditer(text):
        named = [(match[1], match[2]), *re.findall(_NAMES, match[3])]
        found.update({alias or name: name for name, alias in named if name in metadata.tables})
    return found


def _verb(text: str) -> str:
    return text.partition(" ")[0]


def written(sql: str) -> str | None:
    """Give the table that a statement writes to, None when it only reads."""
    text = _plainly(sql)
    if _verb(text) in _ADDING:
        return _ADDED.match(text)[1]  # type: ignore[index] # every one of them names its table
    if _verb(text) == "delete":
        return text.removeprefix("delete from ").partition(" ")[0]
    if _verb(text) == "update":
        behind = re.search(r"\bstraight_join (\w+)", text)
        return behind[1] if behind else text.removeprefix("update ").partition(" ")[0]
    return None


def faults_of_sql(sql: str) -> list[str]:
    """Give what a statement does that cannot be spread; whether it looks across is not asked."""
    return list(_faults(_plainly(sql)))


def _faults(text: str) -> Iterator[str]:
    table = written(text)
    if table is not None:
        if made := _MADE.search(text):
            yield f"{made[0]} is made by the database"
        yield from _of_changes(text, table)
        if "skip locked" in text:
            yield "what it writes depends on who else is there"
    if table in _PARTNERS and _verb(text) in _ADDING:
        columns = _ADDED.match(text)
        if columns is None or "partner_id" not in (columns[2] or "").replace(" ", "").split(","):
            yield "an insert without the partner"
    for part in text.split(" union all "):
        yield from _of_joins(part)


def _of_changes(text: str, table: str) -> Iterator[str]:
    kept = _KEYS.get(table, set()) | {"partner_id"}
    for changes in re.findall(r"\b(?:set|duplicate key update) (.*?)(?: where |$)", text):
        for changed in re.findall(r"(?:^|, )(?:\w+\.)?(\w+) ?= ?", _outside_brackets(changes)):
            if changed in kept:
                yield f"{changed} is changed"
    conflict = re.search(r"on conflict \(([^)]*)\)", text)
    if conflict and table in _PARTNERS and "partner_id" not in conflict[1]:
        yield "a conflict without the partner"


def _outside_brackets(text: str) -> str:
    while (shorter := re.sub(r"\([^()]*\)", "", text)) != text:
        text = shorter
    return text


def _of_joins(text: str) -> Iterator[str]:
    ours = {alias for alias, name in _sources(text).items() if name in _PARTNERS}
    groups = [{alias} for alias in sorted(ours)]
    for one, other in _SAME.findall(text):
        joined = [group for group in groups if group & {one, other}]
        groups = [group for group in groups if group not in joined]
        groups.append(set().union(*joined))
    named = [group for group in groups if group & _named(text)]
    for one, other in combinations(groups, 2):
        if one not in named or other not in named:
            yield f"{sorted(one)} and {sorted(other)} are joined without the partner"


def _named(text: str) -> set[str]:
    return {one or other for one, other in _NAMED.findall(text)}


def form(sql: str) -> str:
    """Give SQL in the form it has for any number of keys, and whatever it locks."""
    text = re.sub(r"\((?:\?|%s)(?:, (?:\?|%s))*\)", "(keys)", _plainly(sql))
    return re.sub(r" (?:for (?:no key )?update|for (?:key )?share|lock in share mode).*$", "", text)


def across(sql: str) -> bool:
    """Tell whether a statement looks at the rows of partners that it does not name."""
    text = _plainly(sql)
    if _verb(text) in _ADDING:
        return False
    for part in text.split(" union all "):
        ours = {alias for alias, name in _sources(part).items() if name in _PARTNERS}
        named = _named(part)
        for one, other in _SAME.findall(part) * 2:
            if {one, other} & named:
                named |= {one, other}
        if ours - named:
            return True
    return False
