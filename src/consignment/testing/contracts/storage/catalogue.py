"""Products, sales partners and rules."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from attrs import evolve

from consignment.domain.errors import DuplicateKey, StaleWrite, StorageError
from consignment.domain.order import OrderState
from consignment.domain.progress import Tally, added_up, tally_changes
from consignment.domain.rule import (
    Band,
    Deduction,
    Ladder,
    Percent,
    PerUnit,
    Share,
    Withholding,
)
from consignment.testing.builders import (
    NOW,
    TODAY,
    a_line,
    a_partner,
    a_product,
    a_rule,
    a_sales_partner,
    a_tally_change,
    an_order,
)
from consignment.testing.contracts.storage.base import StorageCase
from consignment.testing.contracts.support import raises

if TYPE_CHECKING:
    from consignment.domain.order import PurchaseOrder
    from consignment.domain.product import ConsignedProduct
    from consignment.domain.rule import SettlementRule
    from consignment.domain.sales_partner import SalesPartner
    from consignment.ports.storage import Transaction

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
        of_products = [a_tally_change(tally, number) for number, tally in changes.items()]
        self.write(lambda t: t.products.tally(of_products))

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

    def test_numbers_are_claimed_before_products_are_added(self) -> None:
        """Claiming tells which numbers somebody has; the others can be added in the transaction."""
        self.given(a_product("A"), a_product("B", "other-farm"))

        def work(t: Transaction) -> dict[str, str]:
            taken = t.products.claim("green-farm", ["C", "B", "A", "D"])
            t.products.add([a_product("D"), a_product("C")])
            return taken

        assert self.write(work) == {"A": "green-farm", "B": "other-farm"}
        assert self.read(lambda t: t.products.owners(["C", "D"])) == dict.fromkeys(
            ["C", "D"], "green-farm"
        )
        assert self.write(lambda t: t.products.claim("green-farm", ["C"])) == {"C": "green-farm"}
        assert self.write(lambda t: t.products.claim("green-farm", [])) == {}

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
        self._tally(**dict.fromkeys(numbers, Tally(ordered=3)))
        stored = self.read(lambda t: t.products.get("green-farm", [*numbers, "none"]))
        assert stored == {each: (a_product(each), Tally(ordered=3)) for each in numbers}
        self._save_products(*(product for product, _ in stored.values()))
        owners = self.read(lambda t: t.products.owners(numbers))
        assert owners == dict.fromkeys(numbers, "green-farm")

    def test_products_are_found_by_number_with_whatever_partner(self) -> None:
        """`by_numbers` gives each product that exists with its tally, whoever's it is."""
        self.given(a_product("A"), a_product("B", "other-farm"), a_product("a", "other-farm"))
        self._tally(A=Tally(ordered=2))
        found = self.read(lambda t: t.products.by_numbers(["B", "A", "none", "B", "\ud83c"]))
        assert found == {
            "A": (a_product("A"), Tally(ordered=2)),
            "B": (a_product("B", "other-farm"), Tally()),
        }
        for wanted in ([], ["none"], ["\ud83c"]):
            assert self.read(lambda t, wanted=wanted: t.products.by_numbers(wanted)) == {}  # type: ignore[misc] # bound now, used now
        assert list(self.read(lambda t: t.products.by_numbers(["A"]))) == ["A"]

    def test_what_is_ordered_keeps_what_it_is_counted_in(self) -> None:
        """Unit, unit places and currency change while nothing is ordered, and not afterwards."""
        changes: list[dict[str, Any]] = [{"unit": "KG"}, {"unit_places": 3}, {"currency": "USD"}]
        self.given(a_product())
        product = a_product()
        for change in changes:
            product = evolve(product, **change)
            self._save_products(product)
            product = evolve(product, revision=product.revision + 1)
        self.write(
            lambda t: t.products.tally(
                [a_tally_change(Tally(ordered=1), currency="USD", unit_places=3)]
            )
        )
        for change in ({"unit": "BX"}, {"unit_places": 2}, {"currency": "EUR"}):
            changed = evolve(product, **change)
            with raises(StaleWrite):
                self._save_products(changed)
        self._save_products(evolve(product, name="still to be had"))
        stored, tally = self.read(lambda t: t.products.get("green-farm", ["APPLE"]))["APPLE"]
        assert (stored.name, stored.unit, tally) == ("still to be had", "KG", Tally(ordered=1))

    def test_a_tally_is_counted_in_what_the_product_is(self) -> None:
        """What was planned in another unit or currency, or of another partner, is stale."""
        self.given(a_product(), a_partner("other-farm"))
        one = Tally(ordered=1)
        for change in (
            a_tally_change(one, unit_places=1),
            a_tally_change(one, currency="USD"),
            a_tally_change(one, partner_id="other-farm"),
            a_tally_change(one, "PEAR"),
            a_tally_change(Tally(last_report_at=NOW)),
        ):
            with raises(StaleWrite):
                self.write(
                    lambda t, change=change: (
                        t.products.tally([a_tally_change(one), change])  # type: ignore[misc] # bound now, used now
                        if change.change.ordered
                        else t.products.tally([change])
                    )
                )
        assert self.read(lambda t: t.products.tallies()) == {}
        assert self.read(lambda t: t.products.get("green-farm", ["APPLE"]))["APPLE"][1] == Tally()

    # Tallies by scope.

    def _tallies(self, **condition: str) -> dict[tuple[str, str], Tally]:
        return self.read(lambda t: t.products.tallies(**condition))

    def _place(self, *orders: PurchaseOrder) -> None:
        self.given(*orders)
        changes = [change for order in orders for change in tally_changes(None, order)]
        self.write(lambda t: t.products.tally(changes))

    def test_tallies_sum_up_what_happened(self) -> None:
        """`tallies` sums by partner and product: first sale, last sale and last report."""
        first = a_line(
            "Z",
            10,
            procured=8,
            sold=6,
            returned=1,
            sent_back=2,
            written_off=1,
            settled=5,
            gross_sales_minor=_BIG,
            returns_minor=7,
            first_sale_at=NOW,
            last_sale_at=NOW + 3 * _TICK,
        )
        second = evolve(first, first_sale_at=NOW + _TICK, last_sale_at=NOW + 2 * _TICK)
        self._place(
            an_order("D-1", "green-farm", first, a_line("A", 4), state=OrderState.ON_SALE),
            an_order("D-2", "green-farm", second, state=OrderState.SETTLED, last_report_at=NOW),
            an_order("D-3", "green-farm", a_line("A", 3), last_report_at=NOW - _TICK),
            an_order("D-4", "a-farm", a_line("X", 1)),
        )
        found = self._tallies()
        assert found == {
            ("a-farm", "X"): Tally(ordered=1),
            ("green-farm", "A"): Tally(ordered=7, last_report_at=NOW - _TICK),
            ("green-farm", "Z"): Tally(
                20, 16, 12, 2, 4, 2, 10, 2 * _BIG, 14, NOW, NOW + 3 * _TICK, NOW
            ),
        }
        assert list(found) == sorted(found)

    def test_tallies_of_void_orders_have_nothing_ordered(self) -> None:
        """An order that was rejected, cancelled or expired was never ordered, but reported on."""
        orders = [an_order(f"D-{i}") for i in range(4)]
        self._place(*orders)
        void = (OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED)
        ended = [
            evolve(order, state=state, last_report_at=NOW)
            for order, state in zip(orders, void, strict=False)
        ]
        changes = [
            change
            for before, after in zip(orders, ended, strict=False)
            for change in tally_changes(before, after)
        ]
        self.write(lambda t: t.products.tally(changes))
        assert self._tallies() == {("green-farm", "APPLE"): Tally(ordered=10, last_report_at=NOW)}

    def test_tallies_meet_every_condition(self) -> None:
        """Partner, sales partner and business line narrow them down, together too."""
        self._place(
            an_order("D-1", "green-farm", a_line("A", 1)),
            an_order("D-2", "green-farm", a_line("A", 2), business_line="corporate"),
            an_order("D-3", "green-farm", a_line("A", 4), sales_partner_id="sp-wang"),
            an_order("D-4", "other-farm", a_line("B", 8), sales_partner_id="sp-wang"),
        )

        def ordered(**condition: str) -> dict[str, int]:
            return {key[1]: tally.ordered for key, tally in self._tallies(**condition).items()}

        assert ordered() == {"A": 7, "B": 8}
        assert ordered(partner_id="green-farm") == {"A": 7}
        assert ordered(sales_partner_id="sp-wang") == {"A": 4, "B": 8}
        assert ordered(business_line="retail") == {"A": 5, "B": 8}
        assert ordered(partner_id="green-farm", sales_partner_id="sp-li") == {"A": 3}
        assert ordered(
            partner_id="green-farm", sales_partner_id="sp-li", business_line="corporate"
        ) == {"A": 2}
        assert ordered(partner_id="nobody") == {}

    def test_a_mixture_of_changes_is_added_up(self) -> None:
        """Orders that begin beside others that go on, in any order, are summed in each scope."""
        self.given(a_product("A"), a_product("B"))
        changes = [
            a_tally_change(Tally(ordered=5), "B"),
            a_tally_change(Tally(7, 6, 2, gross_sales_minor=9, last_report_at=NOW), "A"),
            a_tally_change(Tally(ordered=1), "B", sales_partner_id="sp-wang"),
            a_tally_change(Tally(ordered=2), "B"),
            a_tally_change(Tally(ordered=3), "A", business_line="corporate"),
        ]
        self.write(lambda t: t.products.tally(changes))
        self.write(lambda t: t.products.tally(changes))
        twice = [each for each in changes for _ in range(2)]
        stored = self.read(lambda t: t.products.get("green-farm", ["A", "B"]))
        for field in ("partner_id", "sales_partner_id", "business_line"):
            for value in {getattr(each, field) for each in twice}:
                chosen = [each for each in twice if getattr(each, field) == value]
                sums = added_up(
                    ((each.partner_id, each.product_number), each.change) for each in chosen
                )
                assert self._tallies(**{field: value}) == dict(sums)
        for (_, number), tally in self._tallies().items():
            assert stored[number][1] == tally

    def test_what_cannot_be_a_number_is_not_found(self) -> None:
        """No text at all (half a surrogate pair) finds nothing."""
        self.given(a_product())
        assert self.read(lambda t: t.products.owners(["\ud83c", "APPLE"])) == {
            "APPLE": "green-farm"
        }
        assert self.read(lambda t: t.orders.get(["\ud83c:green-farm"])) == {}
        assert self.read(lambda t: t.partners.decisions("\ud83c")) == []

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
            a_rule(
                "percent",
                scope="business_line:a",
                amount=Percent(percent=Decimal("12.5"), minimum="1.00", cap="9.99"),
            ),
            a_rule(
                "unit", scope="business_line:b", amount=PerUnit(value="0.123456"), currency="JPY"
            ),
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

    def test_one_rule_holds_for_a_scope_and_date(self) -> None:
        """Another rule of the same scope and date cannot be added; a later version of it can."""
        self._add_rule(a_rule("one"))
        with raises(DuplicateKey):
            self._add_rule(a_rule("other"))
        assert self._rule("other", 1) is None
        self._add_rule(a_rule("one", version=2))
        self._add_rule(a_rule("other", scope="business_line:retail"))
        self._add_rule(a_rule("other", version=2, effective_from=TODAY + timedelta(days=99)))
        assert len(self.read(lambda t: t.rules.of_scopes(["all", "business_line:retail"]))) == 4

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
