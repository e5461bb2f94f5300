from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import pytest

from consignment.adapters.memory import MemoryStorage
from consignment.domain.errors import CreditFailed, DeliveryFailed, IllegalTransition, NotFound
from consignment.domain.journal import FactKind
from consignment.domain.message import IntentState, Message
from consignment.domain.order import OrderState
from consignment.domain.settings import BackOff, Settings
from consignment.domain.settlement import CreditState
from consignment.ports.partner_messaging import Delivery
from consignment.relay import Relay, Relayed
from consignment.testing import builders
from tests.capabilities.banks import ORDER, TO_FARM, TO_LI, Bank, reasons_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from consignment.domain.message import OutboxEntry
    from consignment.ports.partner_messaging import Inbound
    from consignment.ports.storage import Transaction

T = TypeVar("T")

PLACED = "D-1~green-farm~placed"
SHORT = Settings(
    back_off=BackOff(first=timedelta(seconds=10), longest=timedelta(seconds=25), tries=4)
)


@pytest.fixture
def shop() -> Bank:
    """Make a shop that sets aside after four tries."""
    return Bank(SHORT).open_shop()


def settled(shop: Bank) -> Bank:
    """Let an order be settled, with two credits due, and its messages delivered."""
    shop.place()
    shop.sell_out()
    shop.desk.settlement.settle(ORDER)
    shop.desk.relay.deliver_due()
    return shop


# Deliveries.


def test_nothing_due_is_nothing_done(shop: Bank) -> None:
    """An empty outbox is no failure."""
    assert shop.desk.relay.deliver_due() == Relayed()
    assert shop.desk.relay.credit_due() == Relayed()


def test_a_failure_is_tried_again_later_under_the_same_id(shop: Bank) -> None:
    """The wait doubles up to the longest, and the id never changes."""
    shop.place()
    shop.messaging.fail_next(3)
    waits = []
    for _ in range(3):
        assert shop.desk.relay.deliver_due() == Relayed(failed=1)
        assert shop.desk.relay.deliver_due() == Relayed()
        entry = shop.entry(PLACED)
        assert (entry.last_error, entry.leased) == ("nobody answers", False)
        waits.append((entry.due_at - shop.clock.now()).total_seconds())
        shop.clock.set(entry.due_at)
    assert waits == [10, 20, 25]
    assert shop.state() is OrderState.PLACED
    assert shop.desk.relay.deliver_due() == Relayed(done=1)
    assert shop.messaging.handed_over == (PLACED,) * 4
    entry = shop.entry(PLACED)
    assert (entry.state, entry.attempts, entry.last_error) == (IntentState.DONE, 4, None)
    assert shop.state() is OrderState.DISPATCHED


def test_after_some_tries_it_is_set_aside_visibly(shop: Bank) -> None:
    """It is listed, in the journal, and not tried again by itself."""
    shop.place()
    shop.messaging.fail_next(4)
    for _ in range(3):
        shop.desk.relay.deliver_due()
        shop.later(minutes=1)
    assert shop.desk.relay.deliver_due() == Relayed(set_aside=1)
    shop.later(days=10)
    assert shop.desk.relay.deliver_due() == Relayed()
    (aside,) = shop.desk.relay.set_aside()
    assert (aside.entry_id, aside.attempts) == (PLACED, 4)
    assert shop.desk.relay.set_aside(after=PLACED) == []
    assert shop.desk.relay.waiting() == []
    *_, fact = shop.desk.audit.facts(order_id=ORDER)
    assert (fact.kind, fact.data) == (
        FactKind.SET_ASIDE,
        {"entry_id": PLACED, "attempts": 4, "last_error": "nobody answers"},
    )


def test_a_final_failure_is_set_aside_at_once(shop: Bank) -> None:
    """When trying again is useless, it is not tried again."""
    shop.place()
    shop.messaging.fail_next(1, "no such folder", final=True)
    assert shop.desk.relay.deliver_due() == Relayed(set_aside=1)
    assert shop.entry(PLACED).attempts == 1


def test_what_was_set_aside_can_be_retried(shop: Bank) -> None:
    """It is due at once, with its tries counted anew, under the same id."""
    shop.place()
    shop.messaging.refuse(TO_FARM)
    shop.desk.relay.deliver_due()
    shop.messaging.refuse(TO_FARM, None)
    entry = shop.desk.relay.retry(PLACED, actor="officer:li")
    assert (entry.state, entry.attempts, entry.due_at) == (
        IntentState.WAITING,
        0,
        shop.clock.now(),
    )
    assert shop.desk.relay.waiting() == [entry]
    *_, fact = shop.desk.audit.facts(order_id=ORDER)
    assert (fact.kind, fact.actor) == (FactKind.RETRIED, "officer:li")
    assert shop.desk.relay.deliver_due() == Relayed(done=1)
    assert shop.state() is OrderState.DISPATCHED


def test_only_what_was_set_aside_is_retried(shop: Bank) -> None:
    """Nothing else is, and nothing unknown."""
    shop.place()
    with pytest.raises(IllegalTransition) as refused:
        shop.desk.relay.retry(PLACED)
    assert reasons_of(refused.value) == [
        {"code": "entry_state", "entry_id": PLACED, "state": "waiting"}
    ]
    shop.desk.relay.deliver_due()
    with pytest.raises(IllegalTransition):
        shop.desk.relay.retry(PLACED)
    with pytest.raises(NotFound) as missing:
        shop.desk.relay.retry("nothing")
    assert reasons_of(missing.value) == [{"code": "entry_unknown", "entry_id": "nothing"}]


def test_of_two_that_retry_the_same_one_does(shop: Bank) -> None:
    """Who had read it before the other wrote looks again, and is told."""
    shop.place()
    shop.messaging.refuse(TO_FARM)
    shop.desk.relay.deliver_due()
    before = shop.storage.read(lambda t: t.outbox.get([PLACED]))
    shop.desk.relay.retry(PLACED)
    looks = []

    class _LateStorage(MemoryStorage):
        def write(self, work: Callable[[Transaction], T], *, partner_id: str | None = None) -> T:
            def late(tx: Transaction) -> T:
                real = tx.outbox.get

                def get(entry_ids: Collection[str]) -> dict[str, OutboxEntry]:
                    looks.append(entry_ids)
                    return before if len(looks) == 1 else real(entry_ids)

                tx.outbox.get = get  # type: ignore[method-assign] # what was true a moment ago
                return work(tx)

            return super().write(late, partner_id=partner_id)

    late = _LateStorage()
    late._data = shop.storage._data
    relay = Relay(late, shop.clock, shop.messaging, shop.ledger, SHORT)
    with pytest.raises(IllegalTransition):
        relay.retry(PLACED)
    assert len(looks) == 2
    assert [fact.kind for fact in shop.desk.audit.facts()].count(FactKind.RETRIED) == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError("no space"),
        RuntimeError("boom"),
        DeliveryFailed("not now"),
        KeyError("x"),
        ValueError(),
    ],
    ids=repr,
)
def test_an_adapter_may_raise_anything(shop: Bank, error: Exception) -> None:
    """It counts as a failure of all that was handed over, to be tried again."""
    shop.place("D-1")
    shop.place("D-2")
    shop.messaging.fail_next(1, error)
    assert shop.desk.relay.deliver_due() == Relayed(failed=2)
    assert str(shop.entry(PLACED).last_error).startswith(f"{type(error).__name__}: ")
    shop.later(seconds=10)
    assert shop.desk.relay.deliver_due() == Relayed(done=2)


def test_one_failure_keeps_no_other_order_back(shop: Bank) -> None:
    """Order is kept within an order: what is behind a failure waits, other orders go on."""
    shop.place("D-1")
    shop.place("D-2")
    shop.desk.dispatch.cancel("D-1:green-farm", why="不要了")
    shop.desk.dispatch.cancel("D-2:green-farm", why="不要了")
    shop.messaging.fail_next(1)
    assert shop.desk.relay.deliver_due() == Relayed(done=2, failed=1)
    assert [each.message_id for each in shop.messages(TO_FARM)] == [
        "D-2~green-farm~placed",
        "D-2~green-farm~cancelled",
    ]
    shop.later(seconds=10)
    assert shop.desk.relay.deliver_due() == Relayed(done=2)
    assert [each.message_id for each in shop.messages(TO_FARM)][2:] == [
        "D-1~green-farm~placed",
        "D-1~green-farm~cancelled",
    ]


def test_what_is_set_aside_holds_back_what_is_behind_it(shop: Bank) -> None:
    """A partner does not hear of a cancellation before the order; another recipient goes on."""
    shop.place()
    shop.messaging.refuse(TO_FARM)
    shop.take(builders.accepted(), builders.procured(ORDER, ("APPLE", "5", "1.00")))
    shop.desk.dispatch.short_close(ORDER, why="没有更多")
    assert shop.desk.relay.deliver_due() == Relayed(done=1, set_aside=1)
    shop.messaging.refuse(TO_FARM, None)
    shop.later(days=1)
    assert shop.desk.relay.deliver_due() == Relayed()
    assert [each.type for each in shop.messages(TO_LI)] == ["products.procured"]
    (waiting,) = shop.desk.relay.waiting()
    assert isinstance(waiting.intent, Message)
    assert waiting.intent.type == "order.short_closed"
    shop.desk.relay.retry(PLACED)
    assert shop.desk.relay.deliver_due() == Relayed(done=2)
    assert [each.type for each in shop.messages(TO_FARM)] == ["order.placed", "order.short_closed"]


def test_many_messages_go_in_some_rounds(shop: Bank) -> None:
    """More than one claim takes."""
    shop.desk.dispatch.place_many([builders.a_demand(f"D-{i}", ("APPLE", "1")) for i in range(450)])
    assert shop.desk.relay.deliver_due() == Relayed(done=450)
    assert len(set(shop.messaging.handed_over)) == len(shop.messaging.handed_over) == 450


# Leases.


class Dying:
    """A channel on which the worker dies, after or before the message was handed over."""

    def __init__(self, meanwhile: Callable[[], object], *, dies: bool = True) -> None:
        self.meanwhile = meanwhile
        self.dies = dies

    def deliver(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        self.meanwhile()
        if self.dies:
            raise KeyboardInterrupt
        return [Delivery("too slow")] * len(messages)

    def inbound(self) -> Iterator[Inbound]:
        return iter(())


def slow_relay(shop: Bank, meanwhile: Callable[[], object], *, dies: bool) -> Relay:
    """Make a worker to which something happens while it delivers."""
    return Relay(
        shop.storage, shop.clock, Dying(meanwhile, dies=dies), shop.ledger, shop.desk.settings
    )


def test_what_a_dead_worker_left_comes_up_when_its_lease_ends(shop: Bank) -> None:
    """Not before; then under the same id."""
    shop.place()
    with pytest.raises(KeyboardInterrupt):
        slow_relay(shop, lambda: None, dies=True).deliver_due()
    assert shop.entry(PLACED).leased
    assert shop.desk.relay.deliver_due() == Relayed()
    shop.later(minutes=5)
    assert shop.desk.relay.deliver_due() == Relayed(done=1)


def test_what_a_dead_worker_left_can_be_taken_up_at_once(shop: Bank) -> None:
    """When it is known that nobody else works."""
    shop.place("D-1")
    shop.place("D-2")
    with pytest.raises(KeyboardInterrupt):
        slow_relay(shop, lambda: None, dies=True).deliver_due()
    assert shop.desk.relay.recover() == 2
    assert shop.desk.relay.recover() == 0
    assert shop.desk.relay.deliver_due() == Relayed(done=2)


def test_a_worker_that_lost_its_lease_changes_nothing(shop: Bank) -> None:
    """What another worker has done since stands: the slow one's failure is not recorded."""
    shop.place()

    def another_takes_over() -> None:
        shop.later(minutes=5)
        assert shop.desk.relay.deliver_due() == Relayed(done=1)

    assert slow_relay(shop, another_takes_over, dies=False).deliver_due() == Relayed()
    entry = shop.entry(PLACED)
    assert (entry.state, entry.attempts, entry.last_error) == (IntentState.DONE, 1, None)
    assert shop.kinds(ORDER).count(FactKind.ORDER_DISPATCHED) == 1


# Credits.


def test_credits_are_carried_out_and_the_order_closes(shop: Bank) -> None:
    """Each beneficiary once; with the last credit the order is closed."""
    settled(shop)
    assert shop.desk.relay.credit_due() == Relayed(done=2)
    assert shop.state() is OrderState.CLOSED
    assert (shop.balance("bank"), shop.balance("sales_partner:sp-li")) == ("38.60", "86.85")
    facts = [fact for fact in shop.desk.audit.facts() if fact.kind is FactKind.CREDITED]
    assert sorted(fact.data["key"] for fact in facts) == [
        f"{ORDER}:1:bank",
        f"{ORDER}:1:sales_partner",
    ]
    assert shop.desk.relay.credit_due() == Relayed()


def test_a_failed_credit_keeps_no_other_back(shop: Bank) -> None:
    """The other is carried out; the order closes when both are."""
    settled(shop)
    shop.ledger.fail_next(1)
    assert shop.desk.relay.credit_due() == Relayed(done=1, failed=1)
    assert shop.state() is OrderState.SETTLED
    shop.later(seconds=10)
    assert shop.desk.relay.credit_due() == Relayed(done=1)
    assert shop.state() is OrderState.CLOSED
    assert shop.balance("partner:green-farm") == "-125.45"


def test_a_credit_that_cannot_be_is_set_aside_and_retried_by_hand(shop: Bank) -> None:
    """The share says so; after the retry it is credited once, and the order closes."""
    settled(shop)
    shop.ledger.refuse("sales_partner:sp-li")
    assert shop.desk.relay.credit_due() == Relayed(done=1, set_aside=1)
    (settlement,) = shop.desk.settlement.of_order(ORDER)
    states = {each.beneficiary: each.state for each in settlement.shares}
    assert states == {
        "sales_partner": CreditState.SET_ASIDE,
        "partner": CreditState.KEPT,
        "bank": CreditState.CREDITED,
    }
    assert str(settlement.credited_total) == "125.45"
    assert shop.state() is OrderState.SETTLED
    shop.ledger.refuse("sales_partner:sp-li", None)
    key = f"{ORDER}:1:sales_partner"
    shop.desk.relay.retry(key, actor="officer:li")
    (settlement,) = shop.desk.settlement.of_order(ORDER)
    assert settlement.shares[0].state is CreditState.DUE
    assert shop.desk.relay.credit_due() == Relayed(done=1)
    assert shop.state() is OrderState.CLOSED
    assert [each.key for each in shop.ledger.postings("sales_partner:sp-li")] == [key]


def test_an_account_system_may_raise_anything(shop: Bank) -> None:
    """It counts as a failure of all, to be tried again with the same keys."""
    settled(shop)
    shop.ledger.fail_next(1, CreditFailed("connection lost"))
    assert shop.desk.relay.credit_due() == Relayed(failed=2)
    assert shop.entry(f"{ORDER}:1:bank").last_error == "CreditFailed: connection lost"
    shop.later(seconds=10)
    assert shop.desk.relay.credit_due() == Relayed(done=2)


def test_a_credit_of_which_nobody_heard_is_not_made_twice(shop: Bank) -> None:
    """The worker died after the ledger had it: the same key changes nothing."""
    settled(shop)
    instructions = [shop.entry(f"{ORDER}:1:{each}").intent for each in ("bank", "sales_partner")]
    assert all(
        each.credited
        for each in shop.ledger.credit(instructions)  # type: ignore[arg-type] # credits
    )
    assert shop.desk.relay.credit_due() == Relayed(done=2)
    assert shop.balance("bank") == "38.60"
    assert shop.state() is OrderState.CLOSED


def test_all_credits_set_aside_leave_the_order_settled(shop: Bank) -> None:
    """It is closed with the last of them, whatever the order of retries."""
    settled(shop)
    shop.ledger.fail_next(2, final=True)
    assert shop.desk.relay.credit_due() == Relayed(set_aside=2)
    for beneficiary in ("bank", "sales_partner"):
        assert shop.state() is OrderState.SETTLED
        shop.desk.relay.retry(f"{ORDER}:1:{beneficiary}")
        assert shop.desk.relay.credit_due() == Relayed(done=1)
    assert shop.state() is OrderState.CLOSED
