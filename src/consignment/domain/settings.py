"""What a bank may choose about the desk as a whole."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import field, frozen
from attrs.validators import ge, instance_of

from consignment.domain.errors import InvalidValue, reason
from consignment.domain.money import minor_places

__all__ = ["BackOff", "Settings", "in_utc"]


def in_utc(instant: datetime) -> datetime:
    """Return an aware instant in UTC.

    Raises `InvalidValue`: `instant_naive` when it has no offset, `instant_invalid` when it is, in
    UTC, before the year 1 or after the year 9999.
    """
    if instant.tzinfo is UTC:
        return instant
    if instant.tzinfo is None or instant.utcoffset() is None:
        raise InvalidValue(reason("instant_naive", value=instant.isoformat()))
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise InvalidValue(reason("instant_invalid", value=instant.isoformat())) from error


def _zone(name: str | ZoneInfo) -> ZoneInfo:
    try:
        return name if isinstance(name, ZoneInfo) else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidValue(reason("timezone_unknown", timezone=str(name)[:64])) from error


@frozen
class BackOff:
    """How long to wait before a failed delivery or credit is tried again, and when to stop.

    The wait doubles from `first` up to `longest`; after `tries` failures it is set aside.
    """

    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(hours=12)
    tries: int = field(default=10, validator=[instance_of(int), ge(1)])

    def wait_after(self, attempts: int) -> timedelta | None:
        """Give the wait after the `attempts`-th failure, or None when it is to be set aside."""
        if attempts >= self.tries:
            return None
        wait = self.first
        for _ in range(attempts - 1):
            if wait >= self.longest:
                break
            # Doubled step by step: far enough beyond the longest, a time cannot be told any more.
            wait *= 2
        return min(wait, self.longest)


@frozen(kw_only=True)
class Settings:
    """The bank's choices. Each has a default that suits a bank in China.

    `timezone` is the bank's business time zone: product lifetimes, admission validity and rule
    dates are days in it. `currency` is that of amounts in settlement rules which name none.
    An order that its partner has not accepted within `answer_days` expires by itself; the bank may
    cancel it sooner. A partner is due for
    review `review_notice_days` before its admission ends. `lease` is how long a worker may take
    over a batch of deliveries before another worker may take them up.
    """

    timezone: ZoneInfo = field(default=ZoneInfo("Asia/Shanghai"), converter=_zone)
    currency: str = field(default="CNY")
    answer_days: int = field(default=180, validator=[instance_of(int), ge(1)])
    review_notice_days: int = field(default=30, validator=[instance_of(int), ge(0)])
    back_off: BackOff = BackOff()
    lease: timedelta = timedelta(minutes=5)

    @currency.validator
    def _known(self, attribute: object, value: str) -> None:  # noqa: ARG002 - attrs' signature
        minor_places(value)

    def day_of(self, instant: datetime) -> date:
        """Give the business day on which an instant falls."""
        return instant.astimezone(self.timezone).date()
