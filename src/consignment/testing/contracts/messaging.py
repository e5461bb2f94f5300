"""What every channel to partners and sales partners promises (`ports.partner_messaging`)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from consignment.domain.errors import UnusableInput, reason
from consignment.domain.message import Message, Recipient
from consignment.ports.partner_messaging import Answer
from consignment.testing.builders import a_message
from consignment.testing.contracts.support import raises, skip_without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.ports.partner_messaging import Delivery, Inbound, PartnerMessaging

__all__ = ["MessagingCapability", "MessagingContract"]

_PARTNER = Recipient.partner("green-farm")
_OTHER = Recipient.partner("other-farm")
_SALES_PARTNER = Recipient.sales_partner("green-farm")


class MessagingCapability(StrEnum):
    """What a channel may declare that it lacks."""

    #: It brings messages to partners and sales partners.
    DELIVER = "deliver"
    #: It fetches what partners send.
    INBOUND = "inbound"
    #: One inbound delivery can have several messages.
    BATCHES = "batches"
    #: Something can come in that no messages can be made out of (see `put_unusable`).
    UNUSABLE = "unusable"
    #: The recipient can tell in which order messages arrived.
    ARRIVAL_ORDER = "arrival_order"
    #: The oldest comes in first also among partners, not only of each of them.
    ORDER_AMONG_PARTNERS = "order_among_partners"


class MessagingContract:
    """Everything that a channel promises.

    class TestOurChannel(MessagingContract):
        def make_messaging(self) -> PartnerMessaging:
            return OurChannel(…)  # with nothing in it

        def inbox(self, recipient: Recipient) -> Sequence[str]:
            return …  # the ids of the messages that the recipient has, as they arrived

        def put(self, partner_id: str, *messages: bytes) -> None:
            …  # send one delivery as this partner
    """

    #: What the channel cannot do.
    lacks: frozenset[MessagingCapability] = frozenset()

    _messaging: PartnerMessaging | None = None

    def make_messaging(self) -> PartnerMessaging:
        """Make the channel, with nothing in it, to the recipients `green-farm` and `other-farm`.

        `green-farm` is both a partner and a sales partner.
        """
        raise NotImplementedError

    def reopen_messaging(self) -> PartnerMessaging:
        """Make the channel a second time, as after a restart; by default it stays as it is."""
        return self.messaging

    def inbox(self, recipient: Recipient) -> Sequence[str]:
        """Give the ids of the messages that a recipient has, in the order of arrival."""
        raise NotImplementedError

    def put(self, partner_id: str, *messages: bytes) -> None:
        """Send one delivery as a partner; a later one comes in later."""
        raise NotImplementedError

    def put_unusable(self, partner_id: str) -> None:
        """Send something as a partner that no messages can be made out of."""
        raise NotImplementedError

    def close_messaging(self) -> None:
        """Let go of what `make_messaging` opened."""

    @property
    def messaging(self) -> PartnerMessaging:
        """The channel of this test, made when it is first asked for."""
        if self._messaging is None:
            self._messaging = self.make_messaging()
        return self._messaging

    def teardown_method(self) -> None:
        """Close the channel."""
        if self._messaging is not None:
            self.close_messaging()
            self._messaging = None

    def _deliver(self, *messages: Message) -> Sequence[Delivery]:
        skip_without(self.lacks, MessagingCapability.DELIVER)
        deliveries = self.messaging.deliver(messages)
        assert len(deliveries) == len(messages)
        return deliveries

    def _has(self, recipient: Recipient, ids: list[str]) -> None:
        found = list(self.inbox(recipient))
        if MessagingCapability.ARRIVAL_ORDER in self.lacks:
            assert sorted(found) == sorted(ids)
        else:
            assert found == ids

    def _inbound(self) -> list[Inbound]:
        return list(self.messaging.inbound())

    def _came_in(self) -> list[tuple[str, list[bytes]]]:
        return [(each.partner_id, list(each.messages())) for each in self._inbound()]

    def _put(self, partner_id: str, *messages: bytes) -> None:
        skip_without(self.lacks, MessagingCapability.INBOUND)
        if len(messages) > 1:
            skip_without(self.lacks, MessagingCapability.BATCHES)
        _ = self.messaging
        self.put(partner_id, *messages)

    # Out.

    def test_a_message_reaches_its_recipient(self) -> None:
        """A delivered message is with its recipient, and nobody else."""
        (delivery,) = self._deliver(a_message("M-1"))
        assert delivery.delivered
        assert delivery.error is None
        self._has(_PARTNER, ["M-1"])
        assert not self.inbox(_OTHER)
        assert not self.inbox(_SALES_PARTNER)

    def test_partners_and_sales_partners_are_told_apart(self) -> None:
        """A partner and a sales partner with the same id are two recipients."""
        deliveries = self._deliver(
            a_message("M-1"), a_message("M-2", recipient=_SALES_PARTNER, order_id=None)
        )
        assert all(each.delivered for each in deliveries)
        self._has(_PARTNER, ["M-1"])
        self._has(_SALES_PARTNER, ["M-2"])

    def test_a_repeat_changes_nothing_for_the_recipient(self) -> None:
        """A message handed over again under the same id is delivered, and arrives once."""
        for _ in range(3):
            (delivery,) = self._deliver(a_message("M-1"))
            assert delivery.delivered
        self._has(_PARTNER, ["M-1"])

    def test_a_repeat_within_one_call_changes_nothing(self) -> None:
        """The same message twice in one call arrives once."""
        deliveries = self._deliver(a_message("M-1"), a_message("M-2"), a_message("M-1"))
        assert all(each.delivered for each in deliveries)
        self._has(_PARTNER, ["M-1", "M-2"])

    def test_a_repeat_after_others_changes_no_order(self) -> None:
        """A message that comes again after later ones stays where it was."""
        self._deliver(a_message("M-1"), a_message("M-2"))
        self._deliver(a_message("M-1"), a_message("M-3"))
        self._has(_PARTNER, ["M-1", "M-2", "M-3"])

    def test_a_repeat_after_a_restart_changes_nothing(self) -> None:
        """A message handed over again by a new process arrives once."""
        self._deliver(a_message("M-1"))
        self._messaging = self.reopen_messaging()
        (delivery,) = self._deliver(a_message("M-1"))
        assert delivery.delivered
        self._has(_PARTNER, ["M-1"])

    def test_messages_to_one_recipient_arrive_in_order(self) -> None:
        """Messages given in one call to the same recipient arrive in their order."""
        ids = ["z", "M-10", "M-9", "a", "M-1"]
        mixed = [
            message
            for each in ids
            for message in (a_message(each), a_message(f"{each}-o", recipient=_OTHER))
        ]
        assert all(each.delivered for each in self._deliver(*mixed))
        self._has(_PARTNER, ids)
        self._has(_OTHER, [f"{each}-o" for each in ids])

    def test_later_calls_arrive_later(self) -> None:
        """What is handed over in a later call arrives behind the earlier ones."""
        for each in ("b", "c", "a"):
            self._deliver(a_message(each))
        self._has(_PARTNER, ["b", "c", "a"])

    def test_message_ids_of_orders_arrive(self) -> None:
        """Ids as the desk makes them, long and with every character, arrive."""
        long = "D" * 64 + "~" + "p" * 64 + "~goods-procured~" + "r" * 128
        ids = [long[:200], "D-1~green-farm~placed", "D_1.x~green-farm~cancelled", "d-1~GREEN~x"]
        assert all(each.delivered for each in self._deliver(*map(a_message, ids)))
        self._has(_PARTNER, ids)

    def test_large_content_arrives(self) -> None:
        """A message with thousands of lines in Chinese arrives."""
        lines = [{"product_number": f"苹果-{i}", "quantity": "10"} for i in range(5000)]
        (delivery,) = self._deliver(a_message("M-1", data={"lines": lines, "备注": "😀 \u2028 \\"}))
        assert delivery.delivered
        self._has(_PARTNER, ["M-1"])

    def test_no_messages_have_no_deliveries(self) -> None:
        """An empty call is answered with nothing."""
        assert not self._deliver()

    # In.

    def test_nothing_has_come_in(self) -> None:
        """When nobody has sent anything, there is nothing."""
        skip_without(self.lacks, MessagingCapability.INBOUND)
        assert not self._inbound()

    def test_what_a_partner_sent_comes_in(self) -> None:
        """A delivery comes in with its sender, a name and its messages as they were sent."""
        self._put("green-farm", b'{"n": 1, "t": "\xe8\x8b\xb9\xe6\x9e\x9c"}')
        (inbound,) = self._inbound()
        assert inbound.partner_id == "green-farm"
        assert inbound.name
        assert list(inbound.messages()) == [b'{"n": 1, "t": "\xe8\x8b\xb9\xe6\x9e\x9c"}']

    def test_a_delivery_has_its_messages_in_order(self) -> None:
        """Several messages of a delivery come in the order they were sent in."""
        sent = [b'{"n": %d}' % n for n in (2, 1, 3)]
        self._put("green-farm", *sent)
        assert self._came_in() == [("green-farm", sent)]

    def test_messages_can_be_read_again(self) -> None:
        """A second call of `messages` gives the same again."""
        self._put("green-farm", b'{"n": 1}')
        (inbound,) = self._inbound()
        assert list(inbound.messages()) == list(inbound.messages()) == [b'{"n": 1}']

    def test_content_is_not_looked_at(self) -> None:
        """What is no message of the desk at all comes in as it was sent."""
        self._put("green-farm", b"\xff\xfe not json")
        assert self._came_in() == [("green-farm", [b"\xff\xfe not json"])]

    def test_the_oldest_of_a_partner_comes_first(self) -> None:
        """A partner's deliveries come in as they were sent."""
        for n in range(12):
            self._put("green-farm", b'{"n": %d}' % n)
        assert self._came_in() == [("green-farm", [b'{"n": %d}' % n]) for n in range(12)]

    def test_the_oldest_of_all_comes_first(self) -> None:
        """Deliveries come in as they were sent, of whatever partner."""
        skip_without(self.lacks, MessagingCapability.ORDER_AMONG_PARTNERS)
        for n, partner_id in enumerate(("other-farm", "green-farm", "other-farm")):
            self._put(partner_id, b'{"n": %d}' % n)
        assert self._came_in() == [
            ("other-farm", [b'{"n": 0}']),
            ("green-farm", [b'{"n": 1}']),
            ("other-farm", [b'{"n": 2}']),
        ]

    def test_what_is_not_finished_is_offered_again(self) -> None:
        """Until it is finished or refused a delivery comes again, also after a restart."""
        self._put("green-farm", b'{"n": 1}')
        first = self._came_in()
        assert self._came_in() == first
        self._messaging = self.reopen_messaging()
        assert self._came_in() == first

    def test_what_is_finished_is_gone(self) -> None:
        """A finished delivery does not come again, others do."""
        for n in range(3):
            self._put("green-farm", b'{"n": %d}' % n)
        self._inbound()[1].finish([Answer("SR-1")])
        left = [("green-farm", [b'{"n": 0}']), ("green-farm", [b'{"n": 2}'])]
        assert self._came_in() == left
        self._messaging = self.reopen_messaging()
        assert self._came_in() == left

    def test_every_kind_of_answer_finishes(self) -> None:
        """Taken, taken before and refused, one answer a message, finish a delivery."""
        self._put("green-farm", b"{}", b"{}", b"{}")
        answers = [
            Answer("SR-1"),
            Answer("SR-2", repeated=True),
            Answer(None, reasons=(reason("over_sold", unsold="3", 苹果=[1]), reason("x"))),
        ]
        self._inbound()[0].finish(answers)
        assert not self._inbound()

    def test_deliveries_can_be_finished_while_they_come(self) -> None:
        """Finishing one while going through them loses none of the others."""
        for n in range(4):
            self._put("green-farm", b'{"n": %d}' % n)
        seen = []
        for inbound in self.messaging.inbound():
            seen += list(inbound.messages())
            inbound.finish([Answer(f"SR-{len(seen)}")])
        assert seen == [b'{"n": %d}' % n for n in range(4)]
        assert not self._inbound()

    def test_what_is_refused_is_gone(self) -> None:
        """A delivery refused as unusable does not come again."""
        self._put("green-farm", b"{}")
        self._put("other-farm", b"{}")
        self._inbound()[0].refuse([reason("too_large", size=10**9)])
        assert self._came_in() == [("other-farm", [b"{}"])]

    def test_unusable_input_says_so(self) -> None:
        """Where no messages can be made out, `messages` raises; the others still come."""
        skip_without(self.lacks, MessagingCapability.INBOUND)
        skip_without(self.lacks, MessagingCapability.UNUSABLE)
        _ = self.messaging
        self.put_unusable("green-farm")
        self._put("other-farm", b"{}")
        bad, good = self._inbound()
        assert (bad.partner_id, good.partner_id) == ("green-farm", "other-farm")
        with raises(UnusableInput):
            list(bad.messages())
        bad.refuse([reason("unreadable")])
        assert self._came_in() == [("other-farm", [b"{}"])]
