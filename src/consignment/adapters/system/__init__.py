"""What the operating system provides."""

from __future__ import annotations

from consignment.adapters.system.clock import SystemClock

__all__ = ["SystemClock"]
