"""Products, sales partners and rules."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.errors import DuplicateKey, StaleWrite, StorageError
from consignment.domain.progress import Tally
from consignment.domain.rule import (
    Band,
    Deduction,
    Ladder,
    Percent,
    PerUnit,
    Share,
    Withholding,
)
from consignment.domain.text import name_key
from consignment.testing.builders import (
    NOW,
    a_partner,
    a_product,
    a_rule,
    a_sales_partner,
)
from consignment.testing.contracts.storage.base import StorageCase
from consignment.testing.contracts.support import raises

if TYPE_CHECKING:
    from consignment.domain.product import ConsignedProduct
    from consignment.domain.rule import SettlementRule
    from consignment.domain.sales_partner import SalesPartner

__all__ = ["CatalogueBooksContract"]

_LARGE = 2500
_BIG = 10**15
_TICK = timedelta(microseconds=1)


class CatalogueBooksContract(StorageCase):
    """Products, sales partners and rules."""

    def _add_products(self, *products: ConsignedProduct) -> None:
        self.write(lambda t: t.products.add(products))

    def _save_products(self, *products: ConsignedProduct) -> None:
        self.write(lambda t: t.products.save(products))

    def _tally(self, **changes: Tally) -> None:
        self.write(lambda t: t.products.tally("green-farm", changes))

    def _save_sales_partner(self, sales_partner: SalesPartner) -> None:
        self.write(lambda t: t.sales_partners.save(sales_partner))

    def _add_rule(self, rule: SettlementRule) -> None:
        self.write(lambda t: t.rules.add(rule, NOW))

    def _rule(self, rule_id: str, version: int) -> SettlementRule | None:
        return self.read(lambda t: t.rules.get(rule_id, version))

    # Products.

    def test_product_is_read_back_whole(self) -> None:
        """A product comes back equal, with an empty tally."""
        product = a_product(
            "苹果 5kg/箱 №1",
            unit_places=3,
            agreed_price_minor=_BIG,
            gtin="6970000000017",
            category="fruit",
            on_sale_from=date(2026, 9, 1),
            on_sale_until=date(9999, 12, 31),
            attributes=(("origin", "阿克苏"), ("产地", "😀")),
        )
        bare = a_product("BARE", currency="JPY", price="12")
        self.given(product, bare)
        assert self.read(lambda t: t.products.get("green-farm", [product.number, "BARE"])) == {
            product.number: (product, Tally()),
            "BARE": (bare, Tally()),
        }

    def test_products_are_read_by_partner(self) -> None:
        """`get` gives only the partner's own, `owners` says whose each is."""
        self.given(a_product("A"), a_product("B", "other-farm"))
        assert list(self.read(lambda t: t.products.get("green-farm", ["A", "B", "C"]))) == ["A"]
        assert self.read(lambda t: t.products.owners(["A", "B", "C"])) == {
            "A": "green-farm",
            "B": "other-farm",
        }
        assert self.read(lambda t: t.products.get("green-farm", [])) == {}
        assert self.read(lambda t: t.products.owners([])) == {}

    def test_a_product_number_is_there_once_in_the_bank(self) -> None:
        """A number that is there, with whatever partner, cannot be added again."""
        self.given(a_product("A"), a_partner("other-farm"))
        for partner_id in ("green-farm", "other-farm"):
            with raises(DuplicateKey):
                self._add_products(a_product("NEW", partner_id), a_product("A", partner_id))
        with raises(DuplicateKey):
            self._add_products(a_product("TWICE"), a_product("TWICE"))
        assert self.read(lambda t: t.products.owners(["A", "NEW", "TWICE"])) == {"A": "green-farm"}

    def test_product_numbers_are_compared_character_by_character(self) -> None:
        """Case, width, accents and composition make different numbers."""
        numbers = ["abc", "ABC", "ＡＢＣ", "\u00e9", "e\u0301", "e", "ß", "ss", "a b", "a  b"]
        self.given(*(a_product(each) for each in numbers))
        assert sorted(self.read(lambda t: t.products.owners(numbers))) == sorted(numbers)
        assert self.read(lambda t: t.products.owners(["Abc", "É", "SS"])) == {}

    def test_a_saved_product_keeps_its_tally(self) -> None:
        """A save stores the product under the next revision; its tally stays."""
        self.given(a_product())
        tally = Tally(ordered=10, procured=4, last_report_at=NOW)
        self._tally(APPLE=tally)
        read, _ = self.read(lambda t: t.products.get("green-farm", ["APPLE"]))["APPLE"]
        changed = evolve(
            read, name="梨", agreed_price_minor=1, category="pear", attributes=(("a", "b"),)
        )
        self._save_products(changed)
        stored = self.read(lambda t: t.products.get("green-farm", ["APPLE"]))["APPLE"]
        assert stored == (evolve(changed, revision=1), tally)

    def test_a_stale_product_is_not_saved(self) -> None:
        """A product that was saved since, or is not there, cannot be saved; nothing stands."""
        self.given(a_product("A"), a_product("B"))
        read = self.read(lambda t: t.products.get("green-farm", ["A", "B"]))
        a, b = read["A"][0], read["B"][0]
        self._save_products(evolve(a, name="first"))
        for batch in (
            [evolve(b, name="second"), evolve(a, name="second")],
            [evolve(b, name="second"), a_product("NONE")],
        ):
            with raises(StaleWrite):
                self._save_products(*batch)
        stored = self.read(lambda t: t.products.get("green-farm", ["A", "B"]))
        assert [stored[each][0].name for each in "AB"] == ["first", b.name]

    def test_a_tally_does_not_make_a_product_stale(self) -> None:
        """Tallies change beside the product's revision."""
        self.given(a_product())
        read, _ = self.read(lambda t: t.products.get("green-farm", ["APPLE"]))["APPLE"]
        self._tally(APPLE=Tally(ordered=1))
        self._save_products(evolve(read, name="梨"))
        stored = self.read(lambda t: t.products.get("green-farm", ["APPLE"]))["APPLE"]
        assert stored[0].revision == 1
        assert stored[1].ordered == 1

    def test_tallies_add_up(self) -> None:
        """Every count and amount of a tally is added to what is there, downwards too."""
        self.given(a_product("A"), a_product("B"))
        first = Tally(100, 90, 60, 5, 7, 3, 0, 6000, 500, NOW, NOW, NOW)
        second = Tally(-5, 5, 1, 0, 1, 0, 55, 100, 7)
        self._tally(A=first, B=first)
        self._tally(A=second)
        stored = self.read(lambda t: t.products.get("green-farm", ["A", "B"]))
        assert stored["A"][1] == first.plus(second)
        assert stored["B"][1] == first

    def test_tally_instants_go_outwards(self) -> None:
        """First sale is the earliest, last sale and last report the latest, in microseconds."""
        self.given(a_product())
        early, late = NOW - _TICK, NOW + _TICK
        for at in (NOW, early, late, NOW, None):
            change = Tally(ordered=1, first_sale_at=at, last_sale_at=at, last_report_at=at)
            self._tally(APPLE=change)
        _, tally = self.read(lambda t: t.products.get("green-farm", ["APPLE"]))["APPLE"]
        assert tally == Tally(
            ordered=5, first_sale_at=early, last_sale_at=late, last_report_at=late
        )

    def test_big_figures_are_exact(self) -> None:
        """Amounts and counts of ten to the fifteenth add up to the unit."""
        self.given(a_product())
        change = Tally(ordered=_BIG, procured=_BIG, sold=_BIG - 1, gross_sales_minor=_BIG + 1)
        for _ in range(3):
            self._tally(APPLE=change)
        _, tally = self.read(lambda t: t.products.get("green-farm", ["APPLE"]))["APPLE"]
        assert (tally.ordered, tally.gross_sales_minor) == (3 * _BIG, 3 * _BIG + 3)
        assert tally.unsold == 3

    def test_a_tally_beyond_its_end_is_not_written(self) -> None:
        """What would no longer be exact in 64 bits is refused, and the tally stays."""
        self.given(a_product())
        most = Tally(ordered=9 * 10**18, sold=1, procured=1)
        self._tally(APPLE=most)
        with raises(StorageError):
            self._tally(APPLE=Tally(ordered=_BIG))
        _, tally = self.read(lambda t: t.products.get("green-farm", ["APPLE"]))["APPLE"]
        assert tally == most

    def test_large_batches_of_products(self) -> None:
        """Thousands of products go in and come out in one call."""
        numbers = [f"P-{i:05}" for i in range(_LARGE)]
        self.write(lambda t: t.partners.add(a_partner()))
        self._add_products(*map(a_product, numbers))
        changes = dict.fromkeys(numbers, Tally(ordered=3))
        self.write(lambda t: t.products.tally("green-farm", changes))
        stored = self.read(lambda t: t.products.get("green-farm", [*numbers, "none"]))
        assert stored == {each: (a_product(each), Tally(ordered=3)) for each in numbers}
        self._save_products(*(product for product, _ in stored.values()))
        owners = self.read(lambda t: t.products.owners(numbers))
        assert owners == dict.fromkeys(numbers, "green-farm")

    # Products by name.

    def _found(
        self, text: str, *, after: tuple[int, str] | None = None, limit: int = 100
    ) -> list[tuple[int, str]]:
        key = name_key(text)
        hits = self.read(lambda t: t.products.find(key, after=after, limit=limit))
        return [(hit.rank, hit.product.number) for hit in hits]

    def test_names_are_found_whole_then_by_beginning_then_inside(self) -> None:
        """Rank 0 is the whole name, 1 its beginning, 2 somewhere in it; then by number."""
        names = {"E": "苹果", "D": "苹果干", "C": "红苹果", "B": "苹果", "A": "梨", "0": "大苹果"}
        self.given(*(a_product(number, name=name) for number, name in names.items()))
        assert self._found("苹果") == [(0, "B"), (0, "E"), (1, "D"), (2, "0"), (2, "C")]
        assert self._found("桃") == []

    def test_names_are_found_with_their_tallies(self) -> None:
        """A hit has the product and its tally, of whatever partner."""
        self.given(a_product("A"), a_product("B", "other-farm"))
        self.write(lambda t: t.products.tally("other-farm", {"B": Tally(ordered=4)}))
        hits = self.read(lambda t: t.products.find("苹果", limit=10))
        assert [(hit.product, hit.tally) for hit in hits] == [
            (a_product("A"), Tally()),
            (a_product("B", "other-farm"), Tally(ordered=4)),
        ]

    def test_names_found_come_in_pages(self) -> None:
        """`after` a (rank, number) goes on exactly behind it, across ranks."""
        names = ["苹果", "苹果", "苹果干", "苹果汁", "红苹果", "青苹果"]
        self.given(*(a_product(f"P{i}", name=name) for i, name in enumerate(names)))
        everything = self._found("苹果")
        for size in (1, 2, 4):
            pages: list[tuple[int, str]] = []
            while page := self._found("苹果", after=pages[-1] if pages else None, limit=size):
                assert len(page) <= size
                pages += page
            assert pages == everything

    def test_numbers_are_ordered_by_code_point(self) -> None:
        """Within a rank, numbers go by code point: beyond the basic plane too."""
        numbers = ["B", "a", "é", "中", "Ａ", "😀"]
        self.given(*(a_product(number, name="苹果") for number in numbers))
        assert self._found("苹果") == [(0, number) for number in numbers]
        assert self._found("苹果", after=(0, "中")) == [(0, "Ａ"), (0, "😀")]

    def test_special_characters_in_names_mean_themselves(self) -> None:
        r"""Characters with a meaning in patterns (`%`, `_`, `\`, `*`, …) are only found as such."""
        special = ["100%", "a_b", "a\\b", "a*b", "a?b", "[ab]", "it's", 'say "x"', "a;--", "😀🍎"]
        self.given(*(a_product(f"S{i}", name=f"x {name} y") for i, name in enumerate(special)))
        self.given(a_product("PLAIN", name="x 100 axb ab its say x a y"))
        for i, name in enumerate(special):
            assert self._found(name) == [(2, f"S{i}")], name
        for each in ("%", "_", "\\", "*", "?", "[", "'", '"', ";", "🍎"):
            assert [number for _, number in self._found(each)] == [
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

    def test_what_cannot_be_a_name_or_number_is_not_found(self) -> None:
        """Text that is too long, or no text at all (half a surrogate pair), finds nothing."""
        self.given(a_product(name="苹果"))
        assert self._found("%" * 100_000) == []
        assert self._found("\ud83c") == []
        assert self.read(lambda t: t.products.owners(["\ud83c", "APPLE"])) == {
            "APPLE": "green-farm"
        }
        assert self.read(lambda t: t.orders.get(["\ud83c:green-farm"])) == {}
        assert self.read(lambda t: t.partners.decisions("\ud83c")) == []

    def test_a_renamed_product_is_found_by_its_new_name(self) -> None:
        """After a save, the old name leads nowhere."""
        self.given(a_product(name="苹果"))
        self._save_products(a_product(name="香梨"))
        assert self._found("苹果") == []
        assert self._found("香梨") == [(0, "APPLE")]

    # Sales partners.

    def test_sales_partner_is_read_back_whole(self) -> None:
        """A sales partner comes back equal, with and without a schedule."""
        scheduled = a_sales_partner("sp-wang", cron="0 18 * * *", pushed_until=NOW - _TICK)
        self.given(a_sales_partner(), scheduled)
        assert self.read(lambda t: t.sales_partners.get(["sp-li", "sp-wang", "none"])) == {
            "sp-li": a_sales_partner(),
            "sp-wang": scheduled,
        }

    def test_a_sales_partner_is_there_once(self) -> None:
        """An id that is there cannot be added again."""
        self.given(a_sales_partner())
        with raises(DuplicateKey):
            self.given(a_sales_partner(name="other"))
        stored = self.read(lambda t: t.sales_partners.get(["sp-li"]))
        assert stored == {"sp-li": a_sales_partner()}

    def test_a_saved_sales_partners_revision_grows(self) -> None:
        """A save stores the change under the next revision; a stale one is refused."""
        self.given(a_sales_partner(cron="0 18 * * *"))
        read = self.read(lambda t: t.sales_partners.get(["sp-li"]))["sp-li"]
        assert read.next_push_at is not None
        pushed = read.pushed(read.next_push_at)
        self.write(lambda t: t.sales_partners.save(pushed))
        stored = self.read(lambda t: t.sales_partners.get(["sp-li"]))["sp-li"]
        assert stored == evolve(pushed, revision=1)
        for stale in (evolve(read, name="stale"), a_sales_partner("none")):
            with raises(StaleWrite):
                self._save_sales_partner(stale)
        assert self.read(lambda t: t.sales_partners.get(["sp-li"]))["sp-li"] == stored

    def test_pushes_that_are_due(self) -> None:
        """Due are those whose next push is not after `now`, the longest due first."""
        at = {"sp-a": NOW, "sp-b": NOW - _TICK, "sp-c": NOW + _TICK, "sp-d": NOW - 2 * _TICK}
        self.given(a_sales_partner("sp-0"), *(a_sales_partner(n, next_push_at=at[n]) for n in at))
        due = self.read(lambda t: t.sales_partners.push_due(NOW, 10))
        assert [each.sales_partner_id for each in due] == ["sp-d", "sp-b", "sp-a"]
        due = self.read(lambda t: t.sales_partners.push_due(NOW, 2))
        assert [each.sales_partner_id for each in due] == ["sp-d", "sp-b"]
        assert self.rows(lambda t: t.sales_partners.push_due(NOW - 3 * _TICK, 10)) == []

    # Rules.

    def test_rule_is_read_back_whole(self) -> None:
        """A rule comes back equal, of whatever form."""
        rules = [
            a_rule("bare"),
            a_rule("percent", amount=Percent(percent=Decimal("12.5"), minimum="1.00", cap="9.99")),
            a_rule("unit", amount=PerUnit(value="0.123456"), currency="JPY"),
            a_rule(
                "ladder",
                scope="product:苹果 №1",
                basis="sales",
                amount=Ladder(
                    method="whole_amount", bands=(Band("0", "3"), Band("10000.00", "5.25"))
                ),
            ),
            a_rule(
                "full",
                version=2**31 - 1,
                scope="partner:green-farm",
                basis="spread",
                deductions=(
                    Deduction("freight", "reported"),
                    Deduction("平台费", "percent_of_net_sales", "0.6"),
                ),
                shares=(
                    Share("sales_partner", "45.5", Withholding("income_tax", "800.00", "20")),
                    Share("sales_partner:sp-wang", Fraction(1, 3)),
                    Share("bank", "0"),
                ),
            ),
        ]
        for rule in rules:
            self._add_rule(rule)
        for rule in rules:
            read = self._rule(rule.rule_id, rule.version)
            assert read == rule
            assert read is not None
            assert read.digest() == rule.digest()
        assert self._rule("bare", 2) is None
        assert self._rule("none", 1) is None

    def test_rules_are_found_by_scope(self) -> None:
        """`of_scopes` gives every version of every rule with one of the scopes."""
        rules = [
            a_rule("a"),
            a_rule("a", 2, effective_from=date(2027, 1, 1)),
            a_rule("b", scope="partner:green-farm"),
            a_rule("c", scope="product:APPLE"),
            a_rule("d", scope="product:apple"),
        ]
        for rule in rules:
            self._add_rule(rule)
        scopes = ["all", "product:APPLE", "business_line:retail"]
        found = self.read(lambda t: t.rules.of_scopes(scopes))
        assert sorted((rule.rule_id, rule.version) for rule in found) == [
            ("a", 1),
            ("a", 2),
            ("c", 1),
        ]
        assert all(rule in rules for rule in found)
        assert self.rows(lambda t: t.rules.of_scopes([])) == []

    def test_a_rules_version_is_there_once(self) -> None:
        """A version that is there cannot be added again, and stays as it is."""
        self._add_rule(a_rule())
        with raises(DuplicateKey):
            self._add_rule(a_rule(scope="partner:green-farm"))
        assert self._rule("profit", 1) == a_rule()
