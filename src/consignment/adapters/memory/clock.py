"""A clock that stands still until it is moved."""

from __future__ import annotations

from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING

from consignment.domain.settings import in_utc

if TYPE_CHECKING:
    from datetime import datetime

    from consignment.ports.clock import Clock

__all__ = ["ManualClock"]


class ManualClock:
    """A clock that tells the instant it was set to; it can be moved forward, never back."""

    def __init__(self, start: datetime) -> None:
        self._now = in_utc(start)
        self._lock = Lock()

    def now(self) -> datetime:
        """Give the instant it was last set to, in UTC."""
        with self._lock:
            return self._now

    def set(self, instant: datetime) -> datetime:
        """Move to an aware instant and give it in UTC; `ValueError` when it is earlier than now."""
        instant = in_utc(instant)
        with self._lock:
            if instant < self._now:
                raise ValueError(f"a clock does not go back, from {self._now} to {instant}")
            self._now = instant
            return instant

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """Move on by a time and give the new instant; `ValueError` when it is negative."""
        step = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        with self._lock:
            if step < timedelta():
                raise ValueError(f"a clock does not go back, by {step}")
            self._now += step
            return self._now


if TYPE_CHECKING:
    _: type[Clock] = ManualClock
