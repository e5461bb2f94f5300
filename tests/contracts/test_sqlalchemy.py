"""Storage and ledger in SQLite keep what the ports promise."""

from __future__ import annotations

from shutil import copyfile
from typing import TYPE_CHECKING

import pytest

from consignment.adapters.sqlalchemy import Ledger, SqlStorage, upgrade
from consignment.testing.contracts import (
    AccountBookContract,
    CreditingCapability,
    StorageCapability,
    StorageContract,
)

if TYPE_CHECKING:
    from pathlib import Path

    from consignment.ports.account_crediting import AccountBook, AccountCrediting
    from consignment.ports.storage import Storage


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with its schema, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "desk.db"
    upgrade(f"sqlite:///{path}")
    return path


class TestSqliteStorage(StorageContract):
    @pytest.fixture(autouse=True)
    def _database(self, empty_database: Path, tmp_path: Path) -> None:
        path = tmp_path / "desk.db"
        copyfile(empty_database, path)
        self.url = f"sqlite:///{path}"

    def make_storage(self) -> Storage:
        return SqlStorage.open(self.url, synchronous="NORMAL")

    def reopen_storage(self) -> Storage:
        return SqlStorage.open(self.url, synchronous="NORMAL")


class TestPassingSqliteStorage(StorageContract):
    lacks = frozenset({StorageCapability.DURABLE})

    def make_storage(self) -> Storage:
        return SqlStorage.open("sqlite://")


class TestSqliteLedger(AccountBookContract):
    @pytest.fixture(autouse=True)
    def _database(self, empty_database: Path, tmp_path: Path) -> None:
        path = tmp_path / "desk.db"
        copyfile(empty_database, path)
        self.url = f"sqlite:///{path}"

    def make_crediting(self) -> AccountCrediting:
        self.ledger = Ledger.open(self.url, synchronous="NORMAL")
        return self.ledger

    def reopen_crediting(self) -> AccountCrediting:
        return self.make_crediting()

    def close_crediting(self) -> None:
        self.ledger.close()

    def book(self) -> AccountBook:
        return self.ledger


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
