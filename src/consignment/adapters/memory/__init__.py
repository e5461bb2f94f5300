"""Adapters that keep everything in this process: for tests, trials and simulations.

They are real adapters, not stubs: storage rolls back, detects stale writes and duplicate keys, and
refuses what the SQL tables would refuse; the ledger keeps both sides of each posting; messaging
knows what each recipient has. Nothing outlives the process.
"""

from __future__ import annotations

from consignment.adapters.memory.clock import ManualClock
from consignment.adapters.memory.crediting import MemoryLedger
from consignment.adapters.memory.history import KnownCooperations
from consignment.adapters.memory.messaging import MemoryInbound, MemoryMessaging
from consignment.adapters.memory.storage import MemoryStorage

__all__ = [
    "KnownCooperations",
    "ManualClock",
    "MemoryInbound",
    "MemoryLedger",
    "MemoryMessaging",
    "MemoryStorage",
]
