"""The machine's clock."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from consignment.ports.clock import Clock

__all__ = ["SystemClock"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SystemClock:
    """Tells the machine's time in UTC.

    When the machine's clock is set back, it stands still until that has caught up. `source` can
    replace the machine's clock; it gives aware instants in UTC.
    """

    def __init__(self, source: Callable[[], datetime] = _utc_now) -> None:
        self._source = source
        self._latest = source()
        self._lock = Lock()

    def now(self) -> datetime:
        """Give the present instant in UTC; later calls never give an earlier one."""
        with self._lock:
            self._latest = max(self._latest, self._source())
            return self._latest


if TYPE_CHECKING:
    _: type[Clock] = SystemClock
