"""How often, and how long, a transaction is run again that failed for a passing reason."""

from __future__ import annotations

import random
from collections import Counter
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from consignment.domain.errors import DuplicateKey, StaleWrite, StorageBusy, StorageUnreachable

if TYPE_CHECKING:
    from consignment.domain.errors import StorageError

__all__ = ["PASSING", "Patience"]

#: The failures after which a transaction is run again.
PASSING: Final = (DuplicateKey, StaleWrite, StorageBusy, StorageUnreachable)

#: How often after each of them. After `StaleWrite` and `DuplicateKey` the next run reads what the
#: other has done, and may meet the next one.
_TIMES: dict[type[StorageError], float] = {
    DuplicateKey: 3,
    StaleWrite: 9,
    StorageBusy: 9,
    StorageUnreachable: float("inf"),
}
#: Those that may pass with time alone.
_WHILE_TIME_IS_LEFT = (StorageBusy, StorageUnreachable)

#: The longest first wait, and the longest of all.
_FIRST_S = 0.008
_LONGEST_S = 0.5


class Patience:
    """What is left of the patience with one use case."""

    def __init__(self, seconds: float, *, one_writer: bool) -> None:
        self._until = monotonic() + seconds
        self._one_writer = one_writer
        self._failures: Counter[type[StorageError]] = Counter()

    def after(self, error: StorageError) -> None:
        """Wait a moment, or raise the error when it is not to be tried again."""
        kind = next(each for each in PASSING if isinstance(error, each))
        self._failures[kind] += 1
        if self._failures[kind] > _TIMES[kind]:
            raise error
        if kind is DuplicateKey and self._one_writer:
            # With one writer at a time nobody came first between reading and writing.
            raise error
        if kind in _WHILE_TIME_IS_LEFT and monotonic() > self._until:
            raise error
        if kind is DuplicateKey:
            # Whoever was first has committed: the engine has waited for that already.
            return
        # Others may be about to collide again: each waits for a time of its own.
        longest = min(_FIRST_S * 2 ** (self._failures.total() - 1), _LONGEST_S)
        sleep(random.uniform(0.5, 1.0) * longest)  # noqa: S311 - no secret
