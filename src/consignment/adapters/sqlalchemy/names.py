"""The index by which any part of a name is found.

For each place in a name at which a text may be found it has an entry: the *tail*, that is the name
from there on (`PLACE_LENGTH` characters at most), and the product's number. So the entries that
begin with a text are neighbours, and stand in the order in which they are wanted. However common or
rare a text is, and whatever its parts are, finding a page of it is one look-up, and reading on from
there.

An entry is in one of three places: the beginning of a name, inside of it, in another form of it.
`shared` is how many characters its tail has in common with an earlier entry of the same product: a
text of no more than these has found the product already, there.

PostgreSQL and MariaDB keep entries as rows, in the tree of the primary key. SQLite keeps them as
terms of a full-text index (FTS5), whose vocabulary is read in order: that collects what is written
and merges it later, which takes a quarter of the time that a tree takes, and less room.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol
from zlib import crc32

from sqlalchemy import (
    bindparam,
    column,
    delete,
    insert,
    literal_column,
    select,
    table,
    union_all,
)

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.statements import KEYS, Session, Statement
from consignment.domain.name_search import PLACE_LENGTH, RANKS, NamePlace, name_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import BindParameter, ColumnElement, Select

__all__ = ["NameIndex", "Named", "name_tails"]

#: A product by partner id and number, with the key of its name and the other forms of it.
Named = tuple[str, str, str, tuple[str, ...]]
#: Place, tail, shared.
_Entry = tuple[int, str, int]
#: Partner id, number, and entries of that product.
_Of = tuple[str, str, Collection[_Entry]]

_BEGINNING, _INSIDE, _OTHER = range(3)
_PLACES: Final = (_BEGINNING, _BEGINNING, _INSIDE, _OTHER)
#: What begins with a text lies between the text and this behind it.
_LAST = chr(0x10FFFF)
_PART = 500


# What is in the index.


def name_tails(key: str, forms: Collection[str] = ()) -> list[_Entry]:
    """Give a name's entries: place, tail, and how much of the tail an earlier one shares.

    No text that is looked up begins with a blank, so no tail does.
    """
    length = PLACE_LENGTH
    head = key[:length]
    own = [key[i : i + length] for i in range(1, len(key)) if key[i] != " "]
    if not forms and len(set(key)) == len(key):
        return [(_BEGINNING, head, 0), *[(_INSIDE, tail, 0) for tail in own]]
    entries = [(_BEGINNING, head, 0)]
    own = sorted(set(own))
    before = " "
    for tail in own:
        shared = _shared(tail, before) if tail[0] == before[0] else 0
        if tail[0] == head[0]:
            shared = max(shared, _shared(tail, head))
        entries.append((_INSIDE, tail, shared))
        before = tail
    if forms:
        own = sorted({head, *own})
        before = ""
        for tail in sorted({form[i : i + length] for form in forms for i in range(len(form))}):
            # Of the name's own, its neighbours in the order share most with it.
            at = bisect_left(own, tail)
            near = (before, *own[max(0, at - 1) : at + 1])
            entries.append((_OTHER, tail, max(_shared(tail, each) for each in near)))
            before = tail
    return entries


def _shared(one: str, other: str) -> int:
    shared = 0
    for character, its in zip(one, other, strict=False):
        if character != its:
            break
        shared += 1
    return shared


# Rows of a table.

_TAILS = tables.name_tails.c


class _Rows:
    """Entries as rows: PostgreSQL, MariaDB."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, products: Iterable[_Of]) -> None:
        self._session.run(_ADD_ROWS, _rows(products))

    def remove(self, products: Iterable[_Of]) -> None:
        self._session.run(_REMOVE_ROWS, _rows(products))

    def places(
        self, text: str, *, after: NamePlace | None, limit: int, others: bool
    ) -> list[NamePlace]:
        rank, tail, number = (
            (None, text, "") if after is None else (after.rank, after.tail, after.number)
        )
        # The limit stands in the statement, so that a planner knows how few rows are wanted.
        most = next((each for each in _LIMITS if each >= limit), limit)
        form = rank, others, most
        statement = _PLACES_OF.get(form)
        if statement is None:
            statement = _PLACES_OF[form] = _places_of(*form)
        rows = self._session.rows(statement, text, text + _LAST, len(text), tail, number)
        return [NamePlace(*row) for row in rows[:limit]]

    def exactly(self, place: int, tail: str, after: str) -> list[str]:
        return [row[0] for row in self._session.rows(_EXACTLY, place, tail, after)]


def _rows(products: Iterable[_Of]) -> list[tuple[int, str, str, str, int]]:
    # In the order of the tree, so that each of its pages is fetched once.
    return sorted(
        (place, tail, number, partner_id, shared)
        for partner_id, number, entries in products
        for place, tail, shared in entries
    )


_LIMITS: Final = (2, 16, 128, 1024)
_ADD_ROWS = Statement(insert(tables.name_tails))
_REMOVE_ROWS = Statement(
    delete(tables.name_tails).where(
        _TAILS.place == bindparam("place_"),
        _TAILS.tail == bindparam("tail_"),
        _TAILS.number == bindparam("number_"),
        _TAILS.partner_id == bindparam("partner_id_"),
        _TAILS.shared == bindparam("shared_"),
    ),
    "place_",
    "tail_",
    "number_",
    "partner_id_",
    "shared_",
)
_EXACTLY = Statement(
    select(_TAILS.number)
    .where(
        _TAILS.place == bindparam("place"),
        _TAILS.tail == bindparam("tail"),
        _TAILS.number > bindparam("number"),
    )
    .order_by(_TAILS.number)
    .limit(literal_column(str(_PART))),
    "place",
    "tail",
    "number",
)
_PLACES_OF: Final[dict[tuple[int | None, bool, int], Statement]] = {}


def _places_of(rank: int | None, others: bool, limit: int) -> Statement:  # noqa: FBT001 - called in one place
    """Write the select of what a text finds, from the beginning or behind a place of some rank.

    Each range of the index is read in its own order and no further than the limit.
    """
    text: BindParameter[str] = bindparam("text")
    end: BindParameter[str] = bindparam("end")
    tail: BindParameter[str] = bindparam("tail")
    same_tail = _TAILS.tail == tail
    ranges: list[tuple[int, tuple[ColumnElement[bool], ...]]] = []
    if rank is not None:
        ranges.append((rank, (same_tail, _TAILS.number > bindparam("number"))))
        if rank > 0:
            ranges.append((rank, (_TAILS.tail > tail, _TAILS.tail < end)))
    for each in range(0 if rank is None else rank + 1, len(RANKS) if others else len(RANKS) - 1):
        if each == 0:
            ranges.append((each, (_TAILS.tail == text,)))
        else:
            begins = _TAILS.tail > text if each == 1 else _TAILS.tail >= text
            ranges.append((each, (begins, _TAILS.tail < end)))

    def part(each: int, *conditions: ColumnElement[bool]) -> Select[tuple[int, str, str]]:
        if _PLACES[each] != _BEGINNING:
            conditions += (_TAILS.shared < bindparam("length"),)
        entries = (
            select(literal_column(str(each)).label("rank_"), _TAILS.tail, _TAILS.number)
            .where(_TAILS.place == literal_column(str(_PLACES[each])), *conditions)
            .limit(literal_column(str(limit)))
        )
        # MariaDB sorts by a column that it was told to be constant.
        behind_tail = conditions[0] is same_tail or each == 0
        order = (_TAILS.number,) if behind_tail else (_TAILS.tail, _TAILS.number)
        return select(entries.order_by(*order).subquery())

    found = union_all(*(part(each, *conditions) for each, conditions in ranges)).subquery("found")
    return Statement(
        select(found)
        .order_by(found.c.rank_, found.c.tail, found.c.number)
        .limit(literal_column(str(limit))),
        "text",
        "end",
        "length",
        "tail",
        "number",
    )


# Terms of a full-text index.

#: Between the parts of a term, and what is next to that in the order. No name has either.
_GAP, _BEYOND = "\t", "\n"
#: The index knows no capitals. They stand between `@` and `[`: so do these pairs.
_SMALL: Final = {ord("@"): "@!"} | {
    capital: "@" + chr(capital).lower() for capital in range(ord("A"), ord("Z") + 1)
}
_LARGE: Final = {pair: chr(character) for character, pair in _SMALL.items()}


class _Terms:
    """Entries as terms: SQLite."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, products: Iterable[_Of]) -> None:
        self._session.run(_ADD_TERMS, _documents(products))

    def remove(self, products: Iterable[_Of]) -> None:
        self._session.run(_REMOVE_TERMS, _documents(products))

    def places(
        self, text: str, *, after: NamePlace | None, limit: int, others: bool
    ) -> list[NamePlace]:
        found: list[NamePlace] = []
        first = 0 if after is None else after.rank
        for rank in range(first, len(RANKS) if others else len(RANKS) - 1):
            low = f"{_PLACES[rank]}{text}"
            high = low + (_BEYOND if rank == 0 else _LAST)
            if after is not None and rank == first:
                low = f"{_PLACES[rank]}{after.tail}{_GAP}{_small(after.number)}{_BEYOND}"
            elif rank == 1:
                low += _BEYOND
            found += self._read(rank, low, high, len(text), limit - len(found))
            if len(found) == limit:
                break
        return found

    def _read(self, rank: int, low: str, high: str, length: int, limit: int) -> list[NamePlace]:
        found: list[NamePlace] = []
        wanted = limit
        while len(found) < limit:
            terms = self._session.rows(_TERMS, low, high, wanted)
            for (term,) in terms:
                tail, number, _, shared = term[1:].split(_GAP)
                if int(shared) < length:
                    found.append(NamePlace(rank, tail, _large(number)))
            if len(terms) < wanted:
                break
            low = terms[-1][0] + _BEYOND
            wanted *= 2
        return found[:limit]

    def exactly(self, place: int, tail: str, after: str) -> list[str]:
        low = f"{place}{tail}{_GAP}{_small(after)}{_BEYOND}"
        terms = self._session.rows(_TERMS, low, f"{place}{tail}{_BEYOND}", _PART)
        return [_large(term.split(_GAP)[1]) for (term,) in terms]


_DOCUMENT = table("name_tails", column("rowid"), column("tails"))
_ADD_TERMS = Statement(insert(_DOCUMENT))
_COMMANDED = table("name_tails", column("name_tails"), column("rowid"), column("tails"))
_REMOVE_TERMS = Statement(
    insert(_COMMANDED).values(
        name_tails=literal_column("'delete'"), rowid=bindparam("rowid"), tails=bindparam("tails")
    ),
    "rowid",
    "tails",
)
_VOCABULARY = table("name_tails_terms", column("term"))
_TERMS = Statement(
    select(_VOCABULARY.c.term)
    .where(_VOCABULARY.c.term >= bindparam("low"), _VOCABULARY.c.term < bindparam("high"))
    .order_by(_VOCABULARY.c.term)
    .limit(bindparam("wanted")),
    "low",
    "high",
    "wanted",
)


def _documents(products: Iterable[_Of]) -> list[tuple[int, str]]:
    documents = []
    for partner_id, number, entries in products:
        end = f"{_GAP}{_small(number)}{_GAP}{_small(partner_id)}{_GAP}"
        terms = [f"{place}{tail}{end}{shared}" for place, tail, shared in entries]
        documents.append((crc32(number.encode()), "\n".join(terms)))
    # The index takes documents by rising id. That two numbers have the same does no harm: every
    # term has its number in it.
    documents.sort()
    return documents


def _small(text: str) -> str:
    return text.translate(_SMALL)


def _large(text: str) -> str:
    if "@" not in text:
        return text
    read = iter(text)
    return "".join(_LARGE[each + next(read)] if each == "@" else each for each in read)


# The index.


class _Entries(Protocol):
    def add(self, products: Iterable[_Of]) -> None: ...

    def remove(self, products: Iterable[_Of]) -> None: ...

    def places(
        self, text: str, *, after: NamePlace | None, limit: int, others: bool
    ) -> list[NamePlace]: ...

    def exactly(self, place: int, tail: str, after: str) -> list[str]: ...


_ADD_FORMS = Statement(insert(tables.name_forms))
_REMOVE_FORMS = Statement(
    delete(tables.name_forms).where(
        tables.name_forms.c.partner_id == bindparam("partner_id_"),
        tables.name_forms.c.number == bindparam("number_"),
    ),
    "partner_id_",
    "number_",
)
_STORED = Statement(
    select(
        tables.products.c.partner_id,
        tables.products.c.number,
        tables.products.c.name_key,
        tables.name_forms.c.forms,
    )
    .select_from(
        tables.product_numbers.join(
            tables.products,
            (tables.products.c.partner_id == tables.product_numbers.c.partner_id)
            & (tables.products.c.number == tables.product_numbers.c.number),
        ).outerjoin(
            tables.name_forms,
            (tables.name_forms.c.partner_id == tables.products.c.partner_id)
            & (tables.name_forms.c.number == tables.products.c.number),
        )
    )
    .where(tables.product_numbers.c.number.in_(bindparam(KEYS, expanding=True)))
)


class NameIndex:
    """The index of names, as of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._entries: _Entries = _Terms(session) if session.engine == "sqlite" else _Rows(session)

    def add(self, named: Sequence[Named]) -> None:
        """Add the names of products that are not in the index."""
        self._entries.add(
            (partner_id, number, name_tails(key, forms)) for partner_id, number, key, forms in named
        )
        self._add_forms(named)

    def stored(self, numbers: Collection[str]) -> dict[str, Named]:
        """Give products as they are in the index, by number."""
        return {
            row[1]: (row[0], row[1], row[2], tuple(row[3].split()) if row[3] else ())
            for row in self._session.rows_by(_STORED, numbers)
        }

    def change(self, changes: Sequence[tuple[Named, Named]]) -> None:
        """Give products other names, each as (as it is in the index, as it is to be)."""
        changes = [(was, now) for was, now in changes if was != now]
        gone: list[_Of] = []
        come: list[_Of] = []
        for was, now in changes:
            partner_id, number, key, forms = now
            old, new = set(name_tails(was[2], was[3])), set(name_tails(key, forms))
            gone.append((partner_id, number, old - new))
            come.append((partner_id, number, new - old))
        self._entries.remove(gone)
        self._entries.add(come)
        others = [(was, now) for was, now in changes if was[3] != now[3]]
        self._session.run(_REMOVE_FORMS, [was[:2] for was, _ in others if was[3]])
        self._add_forms([now for _, now in others])

    def find(self, text: str, *, after: NamePlace | None = None, limit: int) -> Sequence[NamePlace]:
        """Give the places of products whose names have a text in them, in their order."""
        if not _possible(text):
            return []
        if len(text) >= PLACE_LENGTH:
            return self._find_long(text, after, limit)
        # Initials are letters and digits.
        others = text.isascii() and text.isalnum()
        return self._entries.places(text, after=after, limit=limit, others=others)

    def _find_long(self, text: str, after: NamePlace | None, limit: int) -> list[NamePlace]:
        """Look at every name that has the first characters of a text which is not in one tail."""
        head = text[:PLACE_LENGTH]
        first, behind = (0, "") if after is None else (after.rank, after.number)
        found: list[NamePlace] = []
        for rank in range(first, len(RANKS) - 1):
            while len(found) < limit:
                numbers = self._entries.exactly(_PLACES[rank], head, behind)
                stored = self.stored(numbers)
                found += [
                    NamePlace(rank, head, number)
                    for number in numbers
                    if name_place(stored[number][2], (), text) == (rank, head)
                ]
                if len(numbers) < _PART:
                    break
                behind = numbers[-1]
            behind = ""
        return list(islice(found, limit))

    def _add_forms(self, named: Sequence[Named]) -> None:
        self._session.run(
            _ADD_FORMS,
            [(each[0], each[1], " ".join(each[3])) for each in named if each[3]],
        )


def _possible(text: str) -> bool:
    """Tell whether a name can have a text in it: no controls, no half of a surrogate pair."""
    return min(text, default="") >= " " and not any("\ud800" <= each <= "\udfff" for each in text)
