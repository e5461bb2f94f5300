from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from consignment.desk import Consignment, Work
from consignment.domain.errors import StorageUnusable
from consignment.domain.journal import FactKind
from consignment.testing import builders
from tests.capabilities.banks import ORDER, Bank


def test_a_desk_in_memory_needs_nothing() -> None:
    """Its clock is the machine's, and nothing is known of other cooperation."""
    with Consignment.in_memory() as desk:
        assert abs(desk.clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
        desk.admission.set_policy(builders.a_policy())
        decision = desk.admission.request(builders.an_admission_request(assessments=()))
        assert decision.decision == "pending"


def test_a_closed_desk_does_nothing_more() -> None:
    """Closing twice is allowed; anything else is refused by the store."""
    desk = Consignment.in_memory()
    with desk:
        pass
    desk.close()
    with pytest.raises(StorageUnusable):
        desk.quotas.show()


def test_work_with_nothing_to_do(bank: Bank) -> None:
    """Every count is zero, and nothing is written."""
    facts = bank.kinds()
    assert bank.desk.work() == Work()
    assert bank.kinds() == facts


def test_work_does_all_that_is_due_at_once(shop: Bank) -> None:
    """What comes in is settled, credited and told of in the same round."""
    shop.place()
    for report in (
        builders.accepted(),
        builders.procured(),
        builders.sold(),
        builders.completed(),
    ):
        shop.take(report)
    work = shop.desk.work()
    assert (work.settled.settled, work.credits.done) == (1, 2)
    assert work.messages.done == 4


def test_the_journal_is_read_page_by_page(shop: Bank) -> None:
    """All facts come in their order, however many; those of one order on their own."""
    demands = [builders.a_demand(f"D-{i}", ("APPLE", "1")) for i in range(1_500)]
    shop.desk.dispatch.place_many(demands)
    kinds = shop.kinds()
    assert kinds.count(FactKind.ORDER_PLACED) == 1_500
    assert [fact.order_id for fact in shop.desk.audit.facts()][-1] == "D-1499:green-farm"
    assert shop.kinds(ORDER) == [FactKind.ORDER_PLACED]
    assert shop.kinds("D-9999:green-farm") == []
