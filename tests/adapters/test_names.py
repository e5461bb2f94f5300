"""Names are found by any part of them, in other forms too, and by an index that keeps up."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from consignment.adapters import chinese
from consignment.adapters.chinese import ChineseNames
from consignment.adapters.memory import MemoryStorage
from consignment.adapters.sqlalchemy import SqlStorage, upgrade
from consignment.adapters.sqlalchemy.names import _places_of, name_tails
from consignment.desk import Consignment
from consignment.domain.name_search import PLACE_LENGTH, RANKS, NamePlace, name_place
from consignment.domain.text import name_key
from consignment.ports.name_forms import AsWritten
from consignment.testing.builders import a_partner, a_product
from tests import engines
from tests.adapters.schemas import FIRST_DESK, connected, put_first_desk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from consignment.adapters.sqlalchemy.statements import Session, Statement
    from consignment.ports.name_forms import NameForms
    from consignment.ports.storage import NameHit, Storage, Transaction

_CHARACTERS = "苹果ab A@1ﬁ%!𠮷e\u0301é"
_NAMES = st.text(_CHARACTERS, min_size=1, max_size=24).filter(lambda name: bool(name_key(name)))
_FORMS = st.lists(st.text("ab1", min_size=1, max_size=20), max_size=3)


class Backwards:
    """Names are found backwards too."""

    def key(self, name: str) -> str:
        return name_key(name)

    def others(self, key: str) -> Sequence[str]:
        letters = "".join(each for each in key if each.isascii() and each.isalnum())
        return [letters[::-1]] if letters else []


# What is in the index.


@given(_NAMES.map(name_key), _FORMS)
def test_each_text_has_one_entry_of_a_name(key: str, forms: list[str]) -> None:
    """Of the entries that begin with a text, one shares less than it with an earlier one."""
    entries = name_tails(key, forms)
    assert len(set(entries)) == len(entries)
    every = [key, *forms]
    texts = {each[i : i + n] for each in every for i in range(len(each)) for n in range(1, 16)}
    for text in texts:
        if text[0] == " ":
            continue
        found = [
            (place, tail)
            for place, tail, shared in entries
            if tail.startswith(text) and (place == 0 or shared < len(text))
        ]
        place = name_place(key, forms, text)
        assert place is not None
        rank, tail = place
        assert found == [({0: 0, 1: 0, 2: 1, 3: 2}[rank], tail)]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_index_finds_what_looking_at_all_names_finds(data: st.DataObject) -> None:
    """Through additions, renamings and pages, the index answers as memory, and as common sense."""
    with closing(SqlStorage.open("sqlite://", names=Backwards())) as indexed:
        memory = MemoryStorage(names=Backwards())
        names: dict[str, str] = {}
        for storage in (indexed, memory):
            storage.write(lambda t: t.partners.add(a_partner()))
        for _ in range(data.draw(st.integers(1, 4))):
            number = data.draw(st.sampled_from(["A", "a", "@", "A1", "a@"]))
            name = data.draw(_NAMES)
            for storage in (indexed, memory):
                storage.write(_put(number, name))
            names[number] = name_key(name)
        key = data.draw(st.sampled_from(sorted(names.values())))
        at = data.draw(st.integers(0, len(key) - 1))
        text = key[at : at + data.draw(st.integers(1, 20))].strip() or "果"
        places = _all_places(indexed, text, data.draw(st.integers(1, 3)))
        assert places == _all_places(memory, text, 100)
        assert {each.number for each in places if each.rank < 3} == {
            number for number, key in names.items() if text in key
        }


def _put(number: str, name: str) -> Callable[[Transaction], None]:
    def put(t: Transaction) -> None:
        known = t.products.get("green-farm", [number])
        if known:
            t.products.save([evolve(known[number][0], name=name)])
        else:
            t.products.add([a_product(number, name=name)])

    return put


def _all_places(storage: Storage, text: str, limit: int) -> list[NamePlace]:
    found: list[NamePlace] = []

    def page(t: Transaction) -> Sequence[NameHit]:
        return t.products.find(text, after=found[-1] if found else None, limit=limit)

    while hits := storage.read(page):
        found += [each.place for each in hits]
    return found


# Other forms, on every store.


@pytest.fixture(params=["memory", *engines.ENGINES])
def reopened(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[NameForms], Storage]]:
    """Give a way to open the same store again, with other forms of names."""
    opened: list[Storage] = []
    if request.param == "memory":
        memory = MemoryStorage()
        opened.append(memory)

        def reopen(names: NameForms) -> Storage:
            memory._names = names
            return memory
    else:
        url = engines.empty(request.param, tmp_path)

        def reopen(names: NameForms) -> Storage:
            opened.append(SqlStorage.open(url, names=names))
            return opened[-1]

    yield reopen
    for each in opened:
        each.close()


def _given(storage: Storage, **names: str) -> None:
    storage.write(lambda t: t.partners.add(a_partner()))
    storage.write(lambda t: t.products.add([a_product(n, name=name) for n, name in names.items()]))


def _found(storage: Storage, text: str) -> list[tuple[int, str]]:
    hits = storage.read(lambda t: t.products.find(name_key(text), limit=100))
    return [(hit.place.rank, hit.product.number) for hit in hits]


def _reindex(storage: Storage) -> list[int]:
    """Reindex two products at a time; give how many changed in each go."""
    changed: list[int] = []
    after: str | None = ""
    while after is not None:
        after, some = storage.write(lambda t, after=after: t.products.reindex(after, 2))  # type: ignore[misc] # bound now, used now
        changed.append(some)
    return changed


def test_chinese_names_are_found_by_other_forms(
    reopened: Callable[[NameForms], Storage],
) -> None:
    """Traditional and simplified characters are the same; initials come after the name itself."""
    storage = reopened(ChineseNames())
    _given(storage, A="阿克苏苹果 5kg", B="蘋果", C="PG 手册", D="烟台葡萄", E="重庆火锅")
    assert _found(storage, "蘋果") == [(0, "B"), (2, "A")]
    assert _found(storage, "苹果") == [(0, "B"), (2, "A")]
    assert _found(storage, "pg") == [(1, "C"), (3, "B"), (3, "A")]
    assert _found(storage, "AKSPG5KG") == [(3, "A")]
    assert _found(storage, "ytpt") == [(3, "D")]
    assert _found(storage, "cqhg") == [(3, "E")]
    assert _found(storage, "5kg") == [(2, "A")]
    assert _found(storage, "xyz") == []
    assert _all_places(storage, "pg", 1) == _all_places(storage, "pg", 10)


def test_forms_change_with_the_name(reopened: Callable[[NameForms], Storage]) -> None:
    """The initials of the old name lead nowhere."""
    storage = reopened(ChineseNames())
    _given(storage, A="苹果", B="香蕉")
    storage.write(_put("A", "梨子"))
    storage.write(_put("B", "banana"))
    assert _found(storage, "pg") == _found(storage, "xj") == _found(storage, "苹") == []
    assert _found(storage, "lz") == [(3, "A")]
    storage.write(_put("B", "香蕉"))
    assert _found(storage, "xj") == [(3, "B")]


def test_an_extra_that_comes_later_is_made_up_for(
    reopened: Callable[[NameForms], Storage],
) -> None:
    """Until names are indexed anew they are found as they were stored; a second time is idle."""
    storage = reopened(AsWritten())
    _given(storage, A="蘋果", B="苹果", C="apple", D="梨", E="汁")
    assert _found(storage, "苹果") == [(0, "B")]
    storage = reopened(ChineseNames())
    assert _found(storage, "蘋果") == [(0, "B")]
    assert sum(_reindex(storage)) == 4
    assert _found(storage, "蘋果") == [(0, "A"), (0, "B")]
    assert _found(storage, "pg") == [(3, "A"), (3, "B")]
    assert _reindex(storage) == [0, 0, 0, 0]
    stored = storage.read(lambda t: t.products.get("green-farm", ["A", "C"]))
    assert [stored[each][0].revision for each in "AC"] == [1, 0]
    storage = reopened(AsWritten())
    storage.write(_put("A", "红蘋果"))
    assert _found(storage, "pg") == [(3, "B")]
    assert _found(storage, "蘋果") == [(2, "A")]
    assert sum(_reindex(storage)) == 3
    assert _found(storage, "pg") == []


def test_the_desk_indexes_names_anew(tmp_path: Path) -> None:
    """`reindex_names` goes through all products; where the extra is there, the desk uses it."""
    url = engines.empty("sqlite", tmp_path)
    with closing(SqlStorage.open(url)) as storage:
        _given(storage, A="蘋果", B="apple")
    with Consignment.open(url, mailbox=tmp_path / "mailbox") as desk:
        assert [len(desk.progress.by_name(text).products) for text in ("苹果", "pg")] == [0, 0]
        assert desk.catalogue.reindex_names() == 1
        assert [len(desk.progress.by_name(text).products) for text in ("苹果", "pg")] == [1, 1]
        assert desk.catalogue.reindex_names() == 0


# The extra.


def test_without_the_extra_names_are_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desk works without it, and asking for it says what is missing."""
    monkeypatch.setattr(chinese, "installed", lambda: False)
    monkeypatch.setattr(chinese.names, "find_spec", lambda _: None)
    assert not chinese.names.installed()
    with pytest.raises(ImportError, match="chinese"):
        ChineseNames()
    url = engines.empty("sqlite", tmp_path)
    with Consignment.open(url, mailbox=tmp_path / "mailbox") as desk:
        _given(desk.storage, A="蘋果")
        assert _found(desk.storage, "苹果") == _found(desk.storage, "pg") == []
        assert _found(desk.storage, "蘋果") == [(0, "A")]


@given(st.text(max_size=20))
def test_keys_of_chinese_names_are_made_character_by_character(name: str) -> None:
    """The key of a key is itself; a part of a key is a key, or a blank was cut off it."""
    names = ChineseNames()
    key = names.key(name)
    assert names.key(key) == key
    assert len(key) == len(name_key(name))
    assert names.key("乾坤") == names.key("乾") + names.key("坤")


def test_initials_are_letters_and_digits() -> None:
    """The likeliest reading comes first; there are few of them; other characters are left out."""
    names = ChineseNames()
    assert names.others("重庆银行")[0] == "cqyh"
    assert set(names.others("苹果 1/2 🍎")) == {"pg12", "pl12"}
    assert names.others("café😀") == ()
    assert names.others("abc") == ()
    for code in (*range(0x3000, 0x3400), *range(0x4E00, 0x9FFF, 7), 0x20BB7, 0x8A92, 0x5463):
        for form in names.others(names.key(chr(code))):
            assert form.isascii()
            assert form.isalnum()
    assert len(names.others("长大行重乐单朝")) == 4


# What was there before.


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_an_upgrade_indexes_what_is_there(engine: str, tmp_path: Path) -> None:
    """Products of the first release are found by every part of their names; twice does no harm."""
    with engines.scratch(engine, tmp_path, "names") as url:
        put_first_desk(url)
        for _ in range(2):
            upgrade(url)
            with closing(SqlStorage.open(url)) as storage:
                names = {row[1]: row[2] for row in FIRST_DESK["tables"]["products"]["rows"]}
                for number, name in names.items():
                    for i in range(len(name)):
                        found = [each for _, each in _found(storage, name[i : i + 2].strip())]
                        assert found.count(number) == 1
            if engine != "mariadb":
                break
            # As if the process had died before the version was written.
            with connected(url) as connection:
                connection.exec_driver_sql("UPDATE consignment_version SET version_num = '0001'")


# SQLite's own way.


def test_sqlite_keeps_the_index_whole(tmp_path: Path) -> None:
    """After renamings nothing of an old name is left among the terms, and FTS5 finds no fault."""
    url = engines.empty("sqlite", tmp_path)
    with closing(SqlStorage.open(url, names=Backwards())) as storage:
        _given(storage, A="苹果ab", B="苹果苹果")
        for name in ("ab苹果", "苹果", "x"):
            storage.write(_put("A", name))
            storage.write(_put("B", name))
    with closing(sqlite3.connect(tmp_path / "desk.db")) as connection:
        connection.execute("INSERT INTO name_tails(name_tails) VALUES ('integrity-check')")
        terms = [row[0] for row in connection.execute("SELECT term FROM name_tails_terms")]
    assert [term.split("\t")[0] for term in terms] == ["0x", "0x", "2x", "2x"]
    assert len({term.split("\t")[1] for term in terms}) == 2


def test_places_have_one_length() -> None:
    """What the column takes is what counts in the order."""
    assert max(len(tail) for _, tail, _ in name_tails("果" * 100)) == PLACE_LENGTH


# PostgreSQL's.


def test_postgresql_reads_in_order_whatever_it_believes(tmp_path: Path) -> None:
    """Without statistics, and with those of an empty table, it reads on, and collects nothing."""
    url = engines.empty("postgresql", tmp_path)
    with closing(SqlStorage.open(url)) as storage:
        storage.write(lambda t: t.partners.add(a_partner()))
        with connected(url) as connection:
            connection.exec_driver_sql("ANALYZE name_tails")
        some = [a_product(f"P{i:04}", name=f"红苹果{i % 7}") for i in range(2000)]
        storage.write(lambda t: t.products.add(some))
        for rank in (None, *RANKS):
            statement = _places_of(rank, others=True, limit=128)

            def plan(session: Session, statement: Statement = statement) -> str:
                form = statement.compiled(session._dialect)
                values = form.parameters(("果", "果\U0010ffff", 1, "果1", "P0001"))
                session._cursor.execute(f"EXPLAIN {form.text}", values)
                return "\n".join(str(row[0]) for row in session._cursor.fetchall())

            told = storage.read_session(plan)
            assert "Index Only Scan" in told
            assert "Bitmap" not in told
            assert "Seq Scan" not in told
            # Only what all ranges together gave is sorted.
            assert told.count("Sort  (") <= 1, told
