"""Products by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.name_search import PLACE_LENGTH, NamePlace
from consignment.domain.progress import Tally
from consignment.domain.text import name_key
from consignment.testing.builders import a_product, a_tally_change
from consignment.testing.contracts.storage.base import StorageCase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from consignment.ports.storage import Transaction

__all__ = ["NameSearchContract"]

#: Repeats itself, changes its width, is longer as a key, leaves the basic plane, has blanks.
_NAMES = (
    "阿克苏红富士苹果 5kg*2",
    "苹果苹果苹果",
    "ＡＢＣ Ｃａｆe\u0301",
    "ﷺ㍿",
    "𠮷野家😀🍎😀",
    "x 100% a_b a\\b y",
    "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十",
    "果",
    "Straße ①②",
    "@A@a!@",
)


def _parts(key: str, most: int) -> Iterable[str]:
    for length in range(1, most + 1):
        for i in range(len(key) - length + 1):
            part = key[i : i + length]
            # A text that is looked up is a key itself.
            if name_key(part) == part:
                yield part


class NameSearchContract(StorageCase):
    """Products are found by name."""

    def _places(
        self, text: str, *, after: NamePlace | None = None, limit: int = 100
    ) -> list[NamePlace]:
        key = name_key(text)
        hits = self.read(lambda t: t.products.find(key, after=after, limit=limit))
        assert all(hit.place.number == hit.product.number for hit in hits)
        return [hit.place for hit in hits]

    def _found(self, text: str) -> list[tuple[int, str]]:
        return [(place.rank, place.number) for place in self._places(text)]

    def _given_names(self, *names: str) -> None:
        self.given(*(a_product(f"P{i}", name=name) for i, name in enumerate(names)))

    def test_names_are_found_whole_then_by_beginning_then_inside(self) -> None:
        """Rank 0 is the whole name, 1 its beginning, 2 somewhere in it."""
        names = {"E": "苹果", "D": "苹果干", "C": "红苹果", "B": "苹果", "A": "梨", "0": "大苹果"}
        self.given(*(a_product(number, name=name) for number, name in names.items()))
        assert self._found("苹果") == [(0, "B"), (0, "E"), (1, "D"), (2, "0"), (2, "C")]
        assert self._found("桃") == []

    def test_within_a_rank_what_follows_counts_then_the_number(self) -> None:
        """The order is that of the name from the found place on, and of numbers among equals."""
        names = {"4": "果a", "3": "果b", "1": "红果b", "2": "大果b", "0": "大果c", "5": "果bc"}
        self.given(*(a_product(number, name=name) for number, name in names.items()))
        assert self._places("果") == [
            NamePlace(1, "果a", "4"),
            NamePlace(1, "果b", "3"),
            NamePlace(1, "果bc", "5"),
            NamePlace(2, "果b", "1"),
            NamePlace(2, "果b", "2"),
            NamePlace(2, "果c", "0"),
        ]

    def test_a_product_is_found_once(self) -> None:
        """Of several places in a name the one first in the order counts; the beginning before."""
        self._given_names("甲果乙果丙", "果甲果", "果果果", "x果z果y")
        assert self._places("果") == [
            NamePlace(1, "果果果", "P2"),
            NamePlace(1, "果甲果", "P1"),
            NamePlace(2, "果y", "P3"),
            NamePlace(2, "果丙", "P0"),
        ]

    def test_no_more_than_the_beginning_of_what_follows_counts(self) -> None:
        """Names that are the same for `PLACE_LENGTH` characters are ordered by number."""
        same = "一二三四五六七八九十百千万亿元角"
        assert len(same) == PLACE_LENGTH
        self._given_names(f"{same}b", f"大{same}b", f"{same}a", f"大{same}a", same)
        assert self._found("一") == [(1, "P0"), (1, "P2"), (1, "P4"), (2, "P1"), (2, "P3")]
        assert self._found(same) == [(0, "P4"), (1, "P0"), (1, "P2"), (2, "P1"), (2, "P3")]
        assert self._found(f"{same}a") == [(0, "P2"), (2, "P3")]
        assert self._found(f"{same}c") == []

    def test_every_part_of_a_name_finds_it(self) -> None:
        """Of one character or of many, with whatever characters."""
        self._given_names(*_NAMES)
        for i, name in enumerate(_NAMES):
            for part in _parts(name_key(name), 20):
                assert f"P{i}" in {place.number for place in self._places(part)}, part

    def test_texts_find_the_names_that_have_them(self) -> None:
        """Neither more nor fewer, for every part of every name, and those with a change in them."""
        self._given_names(*_NAMES)
        keys = {f"P{i}": name_key(name) for i, name in enumerate(_NAMES)}
        texts = {part for key in keys.values() for part in _parts(key, 3)}
        for text in texts | {text[::-1] for text in texts if name_key(text[::-1]) == text[::-1]}:
            expected = {
                (0 if key == text else 1 if key.startswith(text) else 2, number)
                for number, key in keys.items()
                if text in key
            }
            assert set(self._found(text)) == expected, text

    def test_names_are_found_with_their_tallies(self) -> None:
        """A hit has the product and its tally, of whatever partner."""
        self.given(a_product("A"), a_product("B", "other-farm"))
        change = a_tally_change(Tally(ordered=4), "B", "other-farm")
        self.write(lambda t: t.products.tally([change]))
        hits = self.read(lambda t: t.products.find("苹果", limit=10))
        assert [(hit.product, hit.tally) for hit in hits] == [
            (a_product("A"), Tally()),
            (a_product("B", "other-farm"), Tally(ordered=4)),
        ]

    # Pages.

    def _paged(self, text: str, size: int) -> list[NamePlace]:
        pages: list[NamePlace] = []
        while page := self._places(text, after=pages[-1] if pages else None, limit=size):
            assert len(page) <= size
            pages += page
        return pages

    def test_names_found_come_in_pages(self) -> None:
        """`after` a place goes on exactly behind it, across ranks, and among equal names."""
        self._given_names(*["苹果"] * 3, *["苹果干"] * 3, "苹果汁", *["红苹果"] * 3, "青苹果苹果")
        for text in ("苹果", "果", "红苹"):
            everything = self._places(text)
            for size in (1, 2, 4, 40):
                assert self._paged(text, size) == everything

    def test_pages_of_long_texts(self) -> None:
        """Also where a text is longer than what counts in the order."""
        long = "苹果" * PLACE_LENGTH
        self._given_names(*[long] * 3, *[f"{long}干"] * 2, *[f"红{long}"] * 2, f"{long[1:]}干")
        everything = self._places(long)
        assert [place.rank for place in everything] == [0, 0, 0, 1, 1, 2, 2]
        for size in (1, 2, 4):
            assert self._paged(long, size) == everything

    def test_pages_stay_while_products_are_added(self) -> None:
        """What is added meanwhile moves nothing from one page to another, and is not lost."""
        self._given_names("苹果", "苹果b", "苹果d", "大苹果", "大苹果x")
        first = self._places("苹果", limit=2)
        assert [place.number for place in first] == ["P0", "P1"]
        added = {"A": "苹果", "B": "苹果a", "C": "苹果c", "D": "小苹果", "P1A": "苹果b"}
        self.given(*(a_product(number, name=name) for number, name in added.items()))
        second = self._places("苹果", after=first[-1], limit=10)
        assert [place.number for place in second] == ["P1A", "C", "P2", "D", "P3", "P4"]

    def test_a_page_goes_on_behind_a_product_that_was_renamed(self) -> None:
        """A place is one in the order, whatever has become of the product that stood there."""
        self._given_names("苹果a", "苹果b", "苹果c")
        first = self._places("苹果", limit=2)
        self._rename("P1", "梨")
        assert self._places("苹果", after=first[-1]) == [NamePlace(1, "苹果c", "P2")]

    def test_many_equal_names(self) -> None:
        """A page of a thousand goes through as any other."""
        numbers = [f"N{i:04}" for i in range(1200)]
        self.given(*(a_product(number, name="苹果果汁") for number in numbers))
        first = self._places("果", limit=1000)
        rest = self._places("果", after=first[-1], limit=1000)
        assert [place.number for place in (*first, *rest)] == numbers

    # Characters.

    def test_numbers_are_ordered_by_code_point(self) -> None:
        """Among equal names, numbers go by code point: capitals and other planes too."""
        numbers = ["1", "1@", "1A", "1A!", "1a", "@", "@!", "B", "[", "a", "é", "中", "Ａ", "😀"]
        self.given(*(a_product(number, name="苹果") for number in numbers))
        assert self._found("苹果") == [(0, number) for number in numbers]
        for i, number in enumerate(numbers):
            rest = self._places("苹果", after=NamePlace(0, "苹果", number))
            assert [place.number for place in rest] == numbers[i + 1 :]

    def test_special_characters_in_names_mean_themselves(self) -> None:
        r"""Characters with a meaning in patterns (`%`, `_`, `\`, `*`, …) are only found as such."""
        special = ["100%", "a_b", "a\\b", "a*b", "a?b", "[ab]", "it's", 'say "x"', "a;--", "😀🍎"]
        self.given(*(a_product(f"S{i}", name=f"x {name} y") for i, name in enumerate(special)))
        self.given(a_product("PLAIN", name="x 100 axb ab its say x a y"))
        for i, name in enumerate(special):
            assert self._found(name) == [(2, f"S{i}")], name
        for each in ("%", "_", "\\", "*", "?", "[", "'", '"', ";", "🍎"):
            assert sorted(number for _, number in self._found(each)) == [
                f"S{i}" for i, name in enumerate(special) if each in name
            ]

    def test_names_are_found_by_their_key(self) -> None:
        """Case, width and composition of a name do not matter; accents do."""
        self.given(
            a_product("1", name="ＡＢＣ Ｃａｆe\u0301"),
            a_product("2", name="abc café"),
            a_product("3", name="ABC cafe"),
        )
        assert self._found("abc CAFÉ") == [(0, "1"), (0, "2")]
        assert self._found("ｃａｆｅ") == [(2, "3")]

    def test_what_cannot_be_a_name_is_not_found(self) -> None:
        """Text that is too long, controls, or no text at all (half a surrogate pair): nothing."""
        self.given(a_product("APPLE", name="苹果 apple"))
        strange = [
            "%" * 100_000,
            "\ud83c",
            "\udc80",
            "\0",
            "果\0",
            "\1",
            "\t",
            "",
            "0果",
            "果\uffff",
        ]
        for text in (*strange, "\U0010ffff", "2green-farm"):
            hits = self.read(lambda t, text=text: t.products.find(text, limit=10))  # type: ignore[misc] # bound now, used now
            assert list(hits) == [], repr(text)

    # Changes.

    def _rename(self, number: str, name: str) -> None:
        def save(t: Transaction) -> None:
            product, _ = t.products.get("green-farm", [number])[number]
            t.products.save([evolve(product, name=name)])

        self.write(save)

    def test_a_renamed_product_is_found_by_its_new_name(self) -> None:
        """After a save, the old name leads nowhere, and what both names have leads there once."""
        self._given_names("苹果甲果", "苹果")
        for name in ("香梨果", "苹果干", "果苹果", "梨"):
            self._rename("P0", name)
            keys = {"P0": name, "P1": "苹果"}
            texts = {*_parts("苹果甲果", 3), *_parts(name, 3)}
            for text in texts:
                expected = sorted(number for number, key in keys.items() if text in key)
                assert sorted(place.number for place in self._places(text)) == expected, text

    def test_a_product_that_is_saved_as_it_was_stays_found(self) -> None:
        """Nothing is lost, and nothing doubled, when a name stays and something else changes."""
        self._given_names("苹果苹果")
        for price in (1, 2):
            self.write(
                lambda t, price=price: t.products.save(  # type: ignore[misc] # bound now, used now
                    [
                        evolve(
                            t.products.get("green-farm", ["P0"])["P0"][0], agreed_price_minor=price
                        )
                    ]
                )
            )
        assert self._found("果") == [(2, "P0")]

    def test_what_was_rolled_back_is_not_found(self) -> None:
        """The index is part of the transaction."""
        self._given_names("苹果")

        def fail(t: Transaction) -> None:
            t.products.add([a_product("NEW", name="香梨")])
            t.products.save([a_product("P0", name="香梨")])
            assert len(t.products.find("香梨", limit=10)) == 2
            raise RuntimeError

        try:
            self.write(fail)
        except RuntimeError:
            assert self._found("香梨") == []
        assert self._found("苹果") == [(0, "P0")]
