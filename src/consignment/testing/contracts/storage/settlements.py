"""Settlements and the journal."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.errors import DuplicateKey
from consignment.domain.journal import FactKind
from consignment.domain.settlement import CreditState, SettlementShare
from consignment.testing.builders import NOW, a_fact, a_settlement, an_order
from consignment.testing.contracts.storage.base import StorageCase
from consignment.testing.contracts.support import raises

if TYPE_CHECKING:
    from consignment.domain.journal import Fact
    from consignment.domain.settlement import Settlement

__all__ = ["SettlementBooksContract"]

_ORDER = "D-1:green-farm"
_BIG = 10**15


class SettlementBooksContract(StorageCase):
    """Settlements and the journal."""

    def _settlements(self, *order_ids: str) -> dict[str, tuple[Settlement, ...]]:
        return self.read(lambda t: t.settlements.of_orders(order_ids))

    def _append_facts(self, *facts: Fact) -> None:
        self.write(lambda t: t.journal.append(facts))

    # Settlements.

    def test_settlement_is_read_back_whole(self) -> None:
        """A settlement comes back equal: shares in their order, figures, rules, explanation."""
        settlement = a_settlement(
            settled_at=NOW + timedelta(microseconds=1),
            net_sales_minor=-5,
            cost_of_goods_minor=_BIG,
            deductions=(("运费", 3), ("a", 0)),
            base_minor=-_BIG - 8,
            pool_minor=_BIG,
            shares=(
                SettlementShare("partner", "partner:green-farm", 1, 0, CreditState.KEPT),
                SettlementShare("bank", "bank", 0, 0, CreditState.NOTHING),
                SettlementShare(
                    "sales_partner:sp-wang",
                    "sales_partner:sp-wang",
                    _BIG - 1,
                    _BIG - 2,
                    CreditState.DUE,
                ),
            ),
            rules=(("b", 2), ("a", 1)),
            explanation=("第一步 = 1.00", "", "second"),
        )
        self.given(settlement)
        assert self._settlements(_ORDER) == {_ORDER: (settlement,)}
        assert self._settlements(_ORDER)[_ORDER][0].explanation == settlement.explanation

    def test_settlements_come_by_order_and_sequence(self) -> None:
        """Each order has its settlements by sequence; orders without any are left out."""
        self.given(
            an_order("D-2"),
            *(a_settlement(_ORDER, each) for each in (2, 10, 1)),
            a_settlement("D-3:green-farm"),
            a_settlement("D-3:other-farm"),
        )
        found = self._settlements(_ORDER, "D-2:green-farm", "D-3:other-farm")
        assert sorted(found) == [_ORDER, "D-3:other-farm"]
        assert [each.sequence for each in found[_ORDER]] == [1, 2, 10]
        assert self._settlements() == {}

    def test_a_settlement_is_there_once(self) -> None:
        """An order has one settlement with a sequence, and it stays as it is."""
        self.given(an_order(), an_order("D-2"), a_settlement())
        again = evolve(a_settlement(), explanation=("other",))
        with raises(DuplicateKey):
            self.write(lambda t: t.settlements.add([a_settlement("D-2:green-farm"), again]))
        assert self._settlements(_ORDER, "D-2:green-farm") == {_ORDER: (a_settlement(),)}

    def test_what_became_of_a_credit_is_marked(self) -> None:
        """`mark` notes the state of single shares; the others stay."""
        self.given(a_settlement(), a_settlement(sequence=2), a_settlement("D-2:green-farm"))
        first = a_settlement()
        self.write(
            lambda t: t.settlements.mark(
                [
                    (first, "sales_partner", CreditState.CREDITED),
                    (a_settlement("D-2:green-farm"), "bank", CreditState.SET_ASIDE),
                ]
            )
        )
        found = self._settlements(_ORDER, "D-2:green-farm")

        def states(settlement: Settlement) -> list[str]:
            return [share.state.value for share in settlement.shares]

        assert states(found[_ORDER][0]) == ["credited", "kept", "due"]
        assert found[_ORDER][1] == a_settlement(sequence=2)
        assert states(found["D-2:green-farm"][0]) == ["due", "kept", "set_aside"]
        self.write(lambda t: t.settlements.mark([(first, "bank", CreditState.CREDITED)]))
        assert states(self._settlements(_ORDER)[_ORDER][0]) == ["credited", "kept", "credited"]

    # The journal.

    def test_fact_is_read_back_whole(self) -> None:
        """A fact comes back equal, of every kind, with its figures."""
        data = {"amount": "1.00", "列": [1, None, True, {"a": []}], "count": _BIG}
        facts = [
            a_fact(kind, at=NOW + timedelta(microseconds=i), data=data)
            for i, kind in enumerate(FactKind)
        ]
        facts.append(a_fact(FactKind.POLICY_SET, order_id=None, actor=None, data={}))
        self._append_facts(*facts)
        assert self.rows(lambda t: t.journal.read()) == facts

    def test_facts_stay_in_the_order_appended(self) -> None:
        """The journal keeps the order of appending, whatever the facts' instants."""
        for i in range(30):
            pair = [
                a_fact(at=NOW - timedelta(days=i), data={"n": 2 * i}),
                a_fact(at=NOW, order_id=None, data={"n": 2 * i + 1}),
            ]
            self._append_facts(*pair)
        facts = self.read(lambda t: t.journal.read())
        assert [fact.data["n"] for fact in facts] == list(range(60))

    def test_facts_come_in_pages(self) -> None:
        """`offset` and `limit` cut pages out of the whole journal, or of an order's part."""
        facts = [a_fact(order_id=f"D-{i % 2}:green-farm", data={"n": i}) for i in range(10)]
        self._append_facts(*facts)

        def read(order_id: str | None, offset: int, limit: int) -> list[int]:
            page = self.read(
                lambda t: t.journal.read(order_id=order_id, offset=offset, limit=limit)
            )
            return [fact.data["n"] for fact in page]

        assert read(None, 0, 3) == [0, 1, 2]
        assert read(None, 8, 3) == [8, 9]
        assert read(None, 10, 3) == []
        assert read("D-1:green-farm", 0, 9) == [1, 3, 5, 7, 9]
        assert read("D-1:green-farm", 1, 2) == [3, 5]
        assert read("D-2:green-farm", 0, 9) == []

    def test_large_batches_of_facts(self) -> None:
        """Thousands of facts go in and come out in one call, in order."""
        facts = [a_fact(data={"n": i}) for i in range(2500)]
        self._append_facts(*facts)
        assert self.rows(lambda t: t.journal.read(limit=5000)) == facts
        assert len(self.read(lambda t: t.journal.read())) == 1000
