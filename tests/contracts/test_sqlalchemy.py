"""Storage and ledger keep what the ports promise, on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consignment.adapters.sqlalchemy import Ledger, SqlStorage
from consignment.testing.contracts import (
    AccountBookContract,
    CreditingCapability,
    StorageCapability,
    StorageContract,
)
from tests import engines

if TYPE_CHECKING:
    from pathlib import Path

    from consignment.ports.account_crediting import AccountBook, AccountCrediting
    from consignment.ports.storage import Storage


class _InDatabase:
    engine: str

    @pytest.fixture(autouse=True)
    def _database(self, tmp_path: Path) -> None:
        self.url = engines.empty(self.engine, tmp_path)


class _StorageInDatabase(_InDatabase):
    def make_storage(self) -> Storage:
        return SqlStorage.open(self.url, synchronous="NORMAL")

    def reopen_storage(self) -> Storage:
        return SqlStorage.open(self.url, synchronous="NORMAL")


class TestSqliteStorage(_StorageInDatabase, StorageContract):
    engine = "sqlite"


class TestPostgresqlStorage(_StorageInDatabase, StorageContract):
    engine = "postgresql"


class TestMariadbStorage(_StorageInDatabase, StorageContract):
    engine = "mariadb"


class TestPassingSqliteStorage(StorageContract):
    lacks = frozenset({StorageCapability.DURABLE})

    def make_storage(self) -> Storage:
        return SqlStorage.open("sqlite://")


class _LedgerInDatabase(_InDatabase):
    def make_crediting(self) -> AccountCrediting:
        self.ledger = Ledger.open(self.url, synchronous="NORMAL")
        return self.ledger

    def reopen_crediting(self) -> AccountCrediting:
        return self.make_crediting()

    def close_crediting(self) -> None:
        self.ledger.close()

    def book(self) -> AccountBook:
        return self.ledger


class TestSqliteLedger(_LedgerInDatabase, AccountBookContract):
    engine = "sqlite"


class TestPostgresqlLedger(_LedgerInDatabase, AccountBookContract):
    engine = "postgresql"


class TestMariadbLedger(_LedgerInDatabase, AccountBookContract):
    engine = "mariadb"


class TestLedgerBesideStorage(AccountBookContract):
    """The ledger over the connections of a store."""

    lacks = frozenset({CreditingCapability.DURABLE})

    def make_crediting(self) -> AccountCrediting:
        self.storage = SqlStorage.open("sqlite://")
        self.ledger = Ledger(self.storage)
        return self.ledger

    def close_crediting(self) -> None:
        self.storage.close()

    def book(self) -> AccountBook:
        return self.ledger
