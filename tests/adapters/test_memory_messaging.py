"""What the memory channel lets tests see and script."""

from __future__ import annotations

import pytest

from consignment.adapters.memory import MemoryMessaging
from consignment.domain.errors import Reason, UnusableInput, reason
from consignment.domain.message import Recipient
from consignment.ports.partner_messaging import Answer
from consignment.testing.builders import a_message

_PARTNER = Recipient.partner("green-farm")


@pytest.fixture
def channel() -> MemoryMessaging:
    """A channel with nothing in it."""
    return MemoryMessaging()


def test_inbox_has_the_messages_as_they_were(channel: MemoryMessaging) -> None:
    """An inbox has what arrived, and changing it, or what was sent, changes nothing there."""
    message = a_message()
    channel.deliver([message])
    message.data["lines"].clear()
    (received,) = channel.inbox(_PARTNER)
    assert received == a_message()
    received.data.clear()
    assert channel.inbox(_PARTNER) == (a_message(),)


def test_the_next_deliveries_fail_as_scripted(channel: MemoryMessaging) -> None:
    """`fail_next` lets messages fail one by one, for a time or finally, then all is well."""
    channel.fail_next(2, "no line")
    channel.fail_next(error="unknown", final=True)
    outcomes = channel.deliver([a_message(each) for each in ("a", "b", "c", "d")])
    assert [(each.error, each.final) for each in outcomes] == [
        ("no line", False),
        ("no line", False),
        ("unknown", True),
        (None, False),
    ]
    assert [each.message_id for each in channel.inbox(_PARTNER)] == ["d"]
    assert channel.handed_over == ("a", "b", "c", "d")


def test_the_next_call_raises_as_scripted(channel: MemoryMessaging) -> None:
    """`fail_next` with an exception lets whole calls fail."""
    channel.fail_next(1, ConnectionError("down"))
    with pytest.raises(ConnectionError):
        channel.deliver([a_message("a"), a_message("b")])
    assert channel.inbox(_PARTNER) == ()
    assert all(each.delivered for each in channel.deliver([a_message("a")]))


def test_a_recipient_can_be_refused(channel: MemoryMessaging) -> None:
    """`refuse` fails finally whatever goes to one recipient, until it is lifted."""
    channel.refuse(_PARTNER)
    other = a_message("b", recipient=Recipient.partner("other-farm"))
    bad, good = channel.deliver([a_message("a"), other])
    assert (bad.delivered, bad.final, good.delivered) == (False, True, True)
    channel.refuse(_PARTNER, None)
    assert channel.deliver([a_message("a")])[0].delivered


def test_inbound_keeps_its_answers(channel: MemoryMessaging) -> None:
    """What the desk answered can be read off the delivery; each has a name."""
    first = channel.put("green-farm", b"1", b"2")
    second = channel.put("green-farm", b"3", name="by-hand")
    assert (first.name, second.name) == ("green-farm-1", "by-hand")
    for inbound in channel.inbound():
        inbound.finish([Answer(each.decode()) for each in inbound.messages()])
    assert first.answers == (Answer("1"), Answer("2"))
    assert second.answers == (Answer("3"),)
    assert first.reasons is None
    assert not first.pending


def test_unusable_inbound_keeps_its_reasons(channel: MemoryMessaging) -> None:
    """`put_unusable` raises its reasons when it is read, and keeps those it is refused with."""
    scripted = channel.put_unusable("green-farm", reason("too_large"))
    assert channel.put_unusable("green-farm").pending
    for inbound in channel.inbound():
        with pytest.raises(UnusableInput) as caught:
            inbound.messages()
        inbound.refuse(caught.value.reasons)
    assert scripted.reasons == (Reason("too_large"),)
    assert scripted.answers is None


def test_what_is_finished_meanwhile_is_passed_over(channel: MemoryMessaging) -> None:
    """Going through what came in passes over what was finished since it began."""
    first, second = channel.put("green-farm", b"1"), channel.put("green-farm", b"2")
    coming = channel.inbound()
    assert next(coming) is first
    second.finish([])
    assert list(coming) == []
