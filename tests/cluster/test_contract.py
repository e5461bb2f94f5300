"""Storage and ledger on several nodes keep what the ports promise of transactions.

What has nothing to do with them is the same as on a single MariaDB. `make cluster` runs it.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from consignment.adapters.sqlalchemy import Ledger, SqlStorage
from consignment.adapters.sqlalchemy.tables import metadata
from consignment.testing.contracts import AccountBookContract
from consignment.testing.contracts.storage.concurrency import ConcurrencyContract
from consignment.testing.contracts.storage.locks import LocksContract
from consignment.testing.contracts.storage.transactions import TransactionContract

if TYPE_CHECKING:
    from consignment.ports.account_crediting import AccountBook, AccountCrediting
    from consignment.ports.storage import Storage
    from tests.cluster.conftest import Bank


class _OnCluster:
    @pytest.fixture(autouse=True)
    def _database(self, bank: Bank) -> None:
        with closing(bank.cluster.nodes[0].connect(database=bank.database)) as connection:
            for table in reversed(metadata.sorted_tables):
                connection.cursor().execute(str(table.delete()))
            connection.commit()
        self.urls = bank.urls


class TestClusterStorage(_OnCluster, ConcurrencyContract, LocksContract, TransactionContract):
    def make_storage(self) -> Storage:
        return SqlStorage.open(self.urls)

    def reopen_storage(self) -> Storage:
        return SqlStorage.open(self.urls)


class TestClusterLedger(_OnCluster, AccountBookContract):
    def make_crediting(self) -> AccountCrediting:
        self.ledger = Ledger.open(self.urls)
        return self.ledger

    def reopen_crediting(self) -> AccountCrediting:
        return self.make_crediting()

    def close_crediting(self) -> None:
        self.ledger.close()

    def book(self) -> AccountBook:
        return self.ledger
