"""Sales partners' schedules, the outbox's back-off, and the bank's choices."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve

from consignment.domain.errors import InvalidValue
from consignment.domain.message import (
    BANK,
    IntentState,
    Recipient,
    message_id_of,
)
from consignment.domain.sales_partner import PushSchedule
from consignment.domain.settings import BackOff, Settings, in_utc
from consignment.domain.text import id_fault
from consignment.testing.builders import (
    NOW,
    a_credit,
    a_message,
    a_sales_partner,
    an_account,
    an_entry,
)


def _codes(cron: str, timezone: str = "Asia/Shanghai") -> tuple[str, ...]:
    with pytest.raises(InvalidValue) as caught:
        PushSchedule(cron, timezone)
    return caught.value.codes


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Schedules.


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "x * * * *",
        "0 18 * * * *",
        "@daily",
        "0 0 30 2 *",
        "0 0 31 11 *",
        "0" * 200 + " * * * *",
    ],
)
def test_expressions_that_never_come_are_refused(cron: str) -> None:
    """An expression is of five fields, and some day meets it."""
    assert _codes(cron) == ("cron_invalid",)


@pytest.mark.parametrize("zone", ["", "Mars/Base", "../etc", "Asia/Shanghai ", "/etc/localtime"])
def test_unknown_time_zones_are_refused(zone: str) -> None:
    """A time zone is one that the tz database knows."""
    assert _codes("0 18 * * *", zone) == ("timezone_unknown",)


def test_slots_are_read_in_the_time_zone() -> None:
    """18:00 in Shanghai is 10:00 UTC; the slot at the instant itself is over."""
    schedule = PushSchedule("0 18 * * *")
    assert schedule.next_after(_utc("2026-09-01T02:00")) == _utc("2026-09-01T10:00")
    assert schedule.next_after(_utc("2026-09-01T10:00")) == _utc("2026-09-02T10:00")
    assert schedule.next_after(_utc("2026-09-01T09:59:59.999999")) == _utc("2026-09-01T10:00")
    elsewhere = datetime(2026, 9, 1, 23, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert schedule.next_after(elsewhere) == _utc("2026-09-02T10:00")
    assert schedule.next_after(elsewhere).tzinfo is UTC


def test_a_slot_that_the_clocks_leave_out_comes_after_the_gap() -> None:
    """02:30 does not exist in Berlin on 29 March 2026: the slot is right after, and once."""
    schedule = PushSchedule("30 2 * * *", "Europe/Berlin")
    slot = schedule.next_after(_utc("2026-03-28T12:00"))
    assert slot == _utc("2026-03-29T01:00")
    assert schedule.next_after(slot) == _utc("2026-03-30T00:30")


def test_a_slot_that_the_clocks_repeat_comes_once() -> None:
    """02:30 exists twice in Berlin on 25 October 2026: the slot comes the first time."""
    schedule = PushSchedule("30 2 * * *", "Europe/Berlin")
    slot = schedule.next_after(_utc("2026-10-24T12:00"))
    assert slot == _utc("2026-10-25T00:30")
    assert schedule.next_after(slot) == _utc("2026-10-26T01:30")


def test_a_push_makes_the_following_slot_due() -> None:
    """Missed slots come one by one: the next is after the slot that was pushed."""
    partner = a_sales_partner(cron="0 18 * * *")
    first = _utc("2026-09-01T10:00")
    assert partner.next_push_at == first
    pushed = partner.pushed(first)
    assert (pushed.pushed_until, pushed.next_push_at) == (first, first + timedelta(days=1))
    without = evolve(partner, push_schedule=None).scheduled_from(NOW)
    assert without.next_push_at is None


def test_same_means_what_a_caller_gives() -> None:
    """What the desk keeps beside it does not matter."""
    partner = a_sales_partner(cron="0 18 * * *")
    assert partner.same_as(evolve(partner, revision=7, next_push_at=None, pushed_until=NOW))
    for other in (
        evolve(partner, name="x"),
        evolve(partner, account=an_account()),
        evolve(partner, push_schedule=PushSchedule("0 19 * * *")),
    ):
        assert not partner.same_as(other)


@pytest.mark.parametrize("changes", [{"sales_partner_id": "a b"}, {"name": ""}])
def test_sales_partners_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    """Id and name are checked."""
    with pytest.raises(InvalidValue):
        evolve(a_sales_partner(), **changes)


# The outbox.


def test_failures_back_off_until_it_is_set_aside() -> None:
    """The wait doubles up to the longest; after the last try the entry is set aside."""
    back_off = BackOff(timedelta(seconds=30), timedelta(minutes=3), tries=6)
    entry = evolve(an_entry(), leased=True)
    waits = []
    at = NOW
    while entry.state is IntentState.WAITING:
        entry = entry.failed("nobody answers", at, back_off, final=False)
        waits.append((entry.due_at - at).total_seconds())
        at += timedelta(hours=1)
        assert not entry.leased
    assert waits[:5] == [30, 60, 120, 180, 180]
    assert (entry.attempts, entry.last_error) == (6, "nobody answers")
    retried = entry.retried(at)
    assert (retried.state, retried.attempts, retried.due_at) == (IntentState.WAITING, 0, at)
    assert retried.last_error == "nobody answers"


def test_a_final_failure_sets_aside_at_once() -> None:
    """When trying again is useless, it is not tried; long errors are cut."""
    entry = an_entry().failed("x" * 900, NOW, BackOff(), final=True)
    assert (entry.state, entry.attempts) == (IntentState.SET_ASIDE, 1)
    assert entry.last_error == "x" * 500


def test_done_is_done() -> None:
    """A success counts as a try and clears the error and the lease."""
    failed = an_entry().failed("x", NOW, BackOff(), final=False)
    done = evolve(failed, leased=True).done(NOW)
    assert (done.state, done.attempts, done.last_error, done.done_at, done.leased) == (
        IntentState.DONE,
        2,
        None,
        NOW,
        False,
    )


def test_waits_stay_within_bounds() -> None:
    """However many tries, the wait has an end; at least one try is made."""
    back_off = BackOff(tries=10_000)
    assert back_off.wait_after(9_999) == timedelta(hours=12)
    assert back_off.wait_after(10_000) is None
    assert BackOff(tries=1).wait_after(1) is None
    with pytest.raises(ValueError, match="tries"):
        BackOff(tries=0)


def test_long_waits_do_not_outgrow_time() -> None:
    """A wait that doubles for long from a long beginning is the longest, not an error."""
    back_off = BackOff(first=timedelta(hours=6), longest=timedelta(days=1), tries=100)
    waits = [back_off.wait_after(attempts) for attempts in (1, 2, 3, 4, 33, 99)]
    assert waits == [timedelta(hours=each) for each in (6, 12, 24, 24, 24, 24)]
    assert BackOff(first=timedelta()).wait_after(9) == timedelta()


def test_streams_keep_the_order_of_what_belongs_together() -> None:
    """Messages to one recipient about one order are a stream; each credit is its own."""
    assert a_message("a").stream == a_message("b").stream == "partner:green-farm/D-1:green-farm"
    to_sales_partner = a_message(recipient=Recipient.sales_partner("green-farm"), order_id=None)
    assert to_sales_partner.stream == "sales_partner:green-farm/"
    assert a_credit("k:1").stream == "k:1"
    assert an_entry(a_credit("k:1")).entry_id == "k:1"
    assert an_entry("M-1").entry_id == "M-1"
    assert an_entry(to_sales_partner).partner_id == BANK
    assert id_fault(BANK)


def test_message_ids_can_be_file_names() -> None:
    """Parts are joined so that no two different ones have the same id."""
    assert message_id_of("D-1:green-farm", "placed") == "D-1~green-farm~placed"


# Settings.


def test_days_are_those_of_the_banks_time_zone() -> None:
    """16:00 UTC is the next day in Shanghai."""
    settings = Settings()
    assert settings.day_of(_utc("2026-09-01T15:59:59")) == date(2026, 9, 1)
    assert settings.day_of(_utc("2026-09-01T16:00")) == date(2026, 9, 2)
    assert Settings(timezone="Europe/Berlin").timezone == ZoneInfo("Europe/Berlin")


def test_settings_that_cannot_be_are_refused() -> None:
    """Unknown zones and currencies are refused by code, counts of days by their bounds."""
    for changes in ({"timezone": "Mars/Base"}, {"currency": "RMB"}):
        with pytest.raises(InvalidValue):
            Settings(**changes)  # type: ignore[arg-type] # each takes text
    with pytest.raises(ValueError, match="answer_days"):
        Settings(answer_days=0)
    with pytest.raises(ValueError, match="review_notice_days"):
        Settings(review_notice_days=-1)


def test_instants_need_an_offset() -> None:
    """An instant without an offset is none; any other is given in UTC."""
    assert in_utc(NOW) is NOW
    elsewhere = NOW.astimezone(ZoneInfo("Asia/Shanghai"))
    assert in_utc(elsewhere) == NOW
    assert in_utc(elsewhere).tzinfo is UTC
    with pytest.raises(InvalidValue) as caught:
        in_utc(datetime(2026, 9, 1))  # noqa: DTZ001 - that is what is refused
    assert caught.value.codes == ("instant_naive",)


def test_instants_need_a_place_in_utc() -> None:
    """What falls out of the calendar in UTC is refused."""
    with pytest.raises(InvalidValue) as caught:
        in_utc(datetime(1, 1, 1, tzinfo=ZoneInfo("Asia/Shanghai")))
    assert caught.value.codes == ("instant_invalid",)
