"""A store in memory: what a database would promise, but for outliving the process."""

from __future__ import annotations

from threading import Lock, local
from typing import TYPE_CHECKING, TypeVar

from consignment.adapters.memory.books import (
    JournalBook,
    Orders,
    OutboxBook,
    Partners,
    Policies,
    Products,
    Quotas,
    Reports,
    Rules,
    SalesPartners,
    Settlements,
)
from consignment.adapters.memory.tables import Changes, Data
from consignment.domain.errors import StaleWrite, StorageUnusable
from consignment.ports.name_forms import AsWritten

if TYPE_CHECKING:
    from collections.abc import Callable

    from consignment.ports.name_forms import NameForms
    from consignment.ports.storage import Storage, Transaction

__all__ = ["MemoryStorage"]

T = TypeVar("T")

#: How often `write` runs its work when that ends in `StaleWrite`.
_RUNS = 5


class MemoryTransaction:
    """Everything a memory store knows, as of one transaction."""

    def __init__(self, data: Data, changes: Changes, names: NameForms) -> None:
        self.policies = Policies(data, changes)
        self.partners = Partners(data, changes)
        self.products = Products(data, changes, names)
        self.sales_partners = SalesPartners(data, changes)
        self.rules = Rules(data, changes)
        self.quotas = Quotas(data, changes)
        self.orders = Orders(data, changes)
        self.reports = Reports(data, changes)
        self.settlements = Settlements(data, changes)
        self.journal = JournalBook(data, changes)
        self.outbox = OutboxBook(data, changes)


class MemoryStorage:
    """A store in memory, for any number of threads; transactions run one after the other.

    It keeps the promises of `ports.storage.Storage`, except that nothing outlives the process,
    and is the oracle that other stores are compared with.
    """

    def __init__(self, *, names: NameForms | None = None) -> None:
        """Make an empty store. `names` says in which forms names are found."""
        self._data = Data()
        self._names = names or AsWritten()
        self._lock = Lock()
        self._inside = local()
        self._closed = False

    def write(self, work: Callable[[Transaction], T], *, partner_id: str | None = None) -> T:  # noqa: ARG002 - there is one place
        """Run `work` in one transaction, commit, and give its result; again on `StaleWrite`."""
        for _ in range(_RUNS - 1):
            try:
                return self._run(work, Changes(allowed=True))
            except StaleWrite:
                continue
        return self._run(work, Changes(allowed=True))

    def read(self, work: Callable[[Transaction], T], *, one_instant: bool = True) -> T:  # noqa: ARG002 - everything is as of one
        """Run `work`, which only reads, and give its result."""
        return self._run(work, Changes(allowed=False))

    def _run(self, work: Callable[[Transaction], T], changes: Changes) -> T:
        if getattr(self._inside, "transaction", False):
            raise RuntimeError("a transaction was begun inside another of the same thread")
        with self._lock:
            if self._closed:
                raise StorageUnusable("the store is closed")
            self._inside.transaction = True
            try:
                result = work(MemoryTransaction(self._data, changes, self._names))
            except BaseException:
                changes.undo()
                raise
            finally:
                self._inside.transaction = False
            changes.keep()
            return result

    def close(self) -> None:
        """Let go of everything; what comes after raises `StorageUnusable`."""
        with self._lock:
            self._closed = True
            self._data = Data()


if TYPE_CHECKING:
    _: type[Storage] = MemoryStorage
