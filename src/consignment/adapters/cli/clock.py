"""The time that `--at` gives, and that of the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from consignment.ports.clock import Clock

__all__ = ["SetClock"]


class SetClock:
    """A clock that stands at an instant (aware, UTC) until it is set to a later one."""

    def __init__(self, instant: datetime) -> None:
        self._now = instant

    def now(self) -> datetime:
        """Give the instant."""
        return self._now

    def move_to(self, instant: datetime) -> None:
        """Go on to an instant; never back."""
        self._now = max(self._now, instant)


if TYPE_CHECKING:
    _: type[Clock] = SetClock
