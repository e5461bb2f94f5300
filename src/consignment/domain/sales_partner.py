"""Sales partners: on whose behalf goods are sold, and when they are told how it goes."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from attrs import evolve, field, frozen
from cronsim import CronSim, CronSimError

from consignment.domain.errors import InvalidValue, reason
from consignment.domain.partner import Account
from consignment.domain.settings import in_utc
from consignment.domain.text import check_id, check_text

__all__ = ["PushSchedule", "SalesPartner"]


_CRON_LENGTH = 100
_CRON_FIELDS = 5


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidValue(reason("timezone_unknown", timezone=str(name)[:64])) from error


@frozen
class PushSchedule:
    """When sales data are sent: a cron expression of five fields, read in a time zone.

    Where the clocks go forward or back, Debian's cron rules hold: a fixed time that does not exist
    comes right after the gap, one that exists twice comes once. Raises `InvalidValue`
    (`cron_invalid`, `timezone_unknown`).
    """

    cron: str
    timezone: str = "Asia/Shanghai"

    def __attrs_post_init__(self) -> None:
        zone = _zone(self.timezone)
        invalid = InvalidValue(reason("cron_invalid", cron=str(self.cron)[:80]))
        if len(self.cron) > _CRON_LENGTH or len(self.cron.split()) != _CRON_FIELDS:
            raise invalid
        try:
            # An expression that no day ever meets has no next slot.
            next(CronSim(self.cron, datetime(2026, 1, 1, tzinfo=zone)))
        except (CronSimError, StopIteration, ValueError) as error:
            raise invalid from error

    def next_after(self, instant: datetime) -> datetime:
        """Give the first slot after an instant, in UTC."""
        local = in_utc(instant).astimezone(_zone(self.timezone))
        slot: datetime = next(CronSim(self.cron, local))
        return slot.astimezone(UTC)


@frozen
class SalesPartner:
    """On whose behalf goods are sold; the account receives product news, sales data and profit.

    `next_push_at` is the slot that is due next, `pushed_until` the one sent last; both UTC.
    """

    sales_partner_id: str
    name: str
    account: Account
    push_schedule: PushSchedule | None = None
    next_push_at: datetime | None = None
    pushed_until: datetime | None = None
    revision: int = field(default=0)

    def __attrs_post_init__(self) -> None:
        check_id(self.sales_partner_id, "sales_partner_id")
        check_text(self.name, "name")

    def scheduled_from(self, now: datetime) -> SalesPartner:
        """Return it with the first slot after `now` as the next one due."""
        if self.push_schedule is None:
            return evolve(self, next_push_at=None)
        return evolve(self, next_push_at=self.push_schedule.next_after(now))

    def pushed(self, slot: datetime) -> SalesPartner:
        """Return it after the push of a slot, with the following slot due next."""
        return evolve(self.scheduled_from(slot), pushed_until=slot)

    def same_as(self, other: SalesPartner) -> bool:
        """Tell whether a caller gave the same content, whatever the desk keeps beside it."""
        return (self.name, self.account, self.push_schedule) == (
            other.name,
            other.account,
            other.push_schedule,
        )
