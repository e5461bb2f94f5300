"""What every store promises (`ports.storage`)."""

from __future__ import annotations

from consignment.testing.contracts.storage.admission import AdmissionBooksContract
from consignment.testing.contracts.storage.base import StorageCapability
from consignment.testing.contracts.storage.catalogue import CatalogueBooksContract
from consignment.testing.contracts.storage.concurrency import ConcurrencyContract
from consignment.testing.contracts.storage.locks import LocksContract
from consignment.testing.contracts.storage.names import NameSearchContract
from consignment.testing.contracts.storage.orders import OrderBooksContract
from consignment.testing.contracts.storage.outbox import OutboxContract
from consignment.testing.contracts.storage.quotas import QuotaBookContract
from consignment.testing.contracts.storage.reports import ReportBookContract
from consignment.testing.contracts.storage.settlements import SettlementBooksContract
from consignment.testing.contracts.storage.transactions import TransactionContract

__all__ = ["StorageCapability", "StorageContract"]


class StorageContract(
    TransactionContract,
    AdmissionBooksContract,
    CatalogueBooksContract,
    NameSearchContract,
    QuotaBookContract,
    OrderBooksContract,
    ReportBookContract,
    SettlementBooksContract,
    OutboxContract,
    ConcurrencyContract,
    LocksContract,
):
    """Everything that a store promises.

        class TestOurStorage(StorageContract):
            def make_storage(self) -> Storage:
                return OurStorage(…)  # a new one, empty, with its schema

    A store that outlives the process also says how it is opened again, in `reopen_storage`.
    """
