"""What SQLite does: how it is opened, how transactions begin, and what its errors become."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from contextlib import closing
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import URL

from consignment.adapters.sqlalchemy import SqlStorage, schema_version, upgrade
from consignment.adapters.sqlalchemy.engines import database_at
from consignment.domain.errors import (
    DuplicateKey,
    SchemaMissing,
    StaleWrite,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnreachable,
    StorageUnusable,
)
from consignment.domain.product import ConsignedProduct
from consignment.domain.progress import Tally
from consignment.domain.quota import Quota
from consignment.testing.builders import (
    a_fact,
    a_partner,
    a_product,
    a_quota,
    a_tally_change,
    an_order,
)
from tests.engines import SERVERS, empty, needed
from tests.engines import address as server_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from consignment.ports.storage import Transaction


def _address(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with its schema; blanks and signs in its path mean nothing."""
    folder = tmp_path / "a b%20#?"
    folder.mkdir()
    upgrade(_address(folder / "desk.db"))
    return folder / "desk.db"


@pytest.fixture
def storage(path: Path) -> Iterator[SqlStorage]:
    """The store in it, which does not wait for others long."""
    with closing(SqlStorage.open(_address(path), busy_timeout_s=0.05)) as opened:
        yield opened


def _pragma(storage: SqlStorage, name: str) -> object:
    with closing(storage._database.connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {name}")
        row = cursor.fetchone()
        assert row is not None
        return row[0]


def _add_fact(t: Transaction) -> None:
    t.journal.append([a_fact()])


# Opening.


def test_pragmas_are_set_on_every_connection(storage: SqlStorage) -> None:
    """Foreign keys hold, the log is written ahead, a commit outlives a loss of power."""
    assert _pragma(storage, "foreign_keys") == 1
    assert _pragma(storage, "journal_mode") == "wal"
    assert _pragma(storage, "synchronous") == 2
    assert _pragma(storage, "busy_timeout") == 50


def test_synchronous_can_be_chosen(path: Path) -> None:
    """NORMAL leaves durability against a loss of power to the next checkpoint."""
    with closing(SqlStorage.open(_address(path), synchronous="NORMAL")) as storage:
        assert _pragma(storage, "synchronous") == 1


def test_opening_creates_no_file(tmp_path: Path) -> None:
    """A missing file is a missing schema, and stays missing."""
    with pytest.raises(SchemaMissing):
        SqlStorage.open(f"sqlite:///{tmp_path / 'no.db'}")
    assert schema_version(f"sqlite:///{tmp_path / 'no.db'}") is None
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_has_no_schema(tmp_path: Path) -> None:
    """An empty file is an empty database to SQLite."""
    (tmp_path / "empty.db").touch()
    with pytest.raises(SchemaMissing):
        SqlStorage.open(f"sqlite:///{tmp_path / 'empty.db'}")


def test_a_foreign_database_has_no_schema(tmp_path: Path) -> None:
    """A database of somebody else's has no schema of ours."""
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE partners (name TEXT)")
    with pytest.raises(SchemaMissing):
        SqlStorage.open(f"sqlite:///{tmp_path / 'other.db'}")


@pytest.mark.parametrize(
    "address",
    ["", "nonsense", "oracle+no_driver://host/db", "mysql://host/db", "http://host:port/"],
)
def test_addresses_of_no_use_are_told(address: str) -> None:
    """What is no address, or of an engine that is not supported, is unusable."""
    with pytest.raises(StorageUnusable):
        SqlStorage.open(address)


def test_signs_in_an_address_mean_something(tmp_path: Path) -> None:
    """A text is a URL: `%` escapes, and what stands behind `?` is no part of the file's name."""
    upgrade(f"sqlite:///{tmp_path}/a%20b%3F%25.db")
    upgrade(f"sqlite:///{tmp_path}/c.db?d.db")
    upgrade(f"sqlite:///{tmp_path}/100% e#.db")
    made = {path.name for path in tmp_path.iterdir() if not path.name.endswith(("-wal", "-shm"))}
    assert made == {"a b?%.db", "c.db", "100% e#.db"}


_SECRET = "open-sesame"  # noqa: S105 - to look for
_USES = (SqlStorage.open, schema_version, upgrade)


def _told(address: URL, caplog: pytest.LogCaptureFixture) -> set[type[StorageError]]:
    """Give what an address with a password is answered by; nothing of it tells the password."""
    found = set()
    for use in _USES:
        with pytest.raises(StorageError) as raised:
            use(address.set(password=_SECRET).render_as_string(hide_password=False))
        found.add(raised.type)
        said: BaseException | None = raised.value
        while said is not None:
            assert _SECRET not in f"{said!s}{said!r}"
            said = said.__cause__
    assert _SECRET not in caplog.text
    return found


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_that_is_not_there_is_told(server: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody answers at that port: it may come back, and no password is told."""
    url = URL.create(server, "desk", host="127.0.0.1", port=1, database="bank")
    with caplog.at_level(logging.DEBUG):
        assert _told(url, caplog) == {StorageUnreachable}


@pytest.mark.parametrize("server", SERVERS)
def test_whom_a_server_does_not_know_is_told(server: str, caplog: pytest.LogCaptureFixture) -> None:
    """A user or a database that is not there is a mistake in the address."""
    needed(server)
    place = server_address(server)
    with caplog.at_level(logging.DEBUG):
        unknown = URL.create(
            server, "nobody_at_all", host=place.host, port=place.port, database="no_such"
        )
        assert _told(unknown, caplog) == {StorageUnusable}
    nowhere = place.set(drivername=server, database="consignment_nowhere")
    for use in _USES:
        with pytest.raises(StorageUnusable) as raised:
            use(nowhere.render_as_string(hide_password=False))
        assert raised.type is StorageUnusable


def test_a_folder_is_unusable(tmp_path: Path) -> None:
    """A folder cannot be opened as a database."""
    for use in (SqlStorage.open, schema_version, upgrade):
        with pytest.raises(StorageUnusable) as raised:
            use(f"sqlite:///{tmp_path}")
        assert raised.type is StorageUnusable


def test_a_file_that_is_no_database_is_unusable(tmp_path: Path) -> None:
    """A text file is refused, and left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database\n" * 1000)
    for use in (SqlStorage.open, schema_version, upgrade):
        with pytest.raises(StorageUnusable) as raised:
            use(_address(path))
        assert raised.type is StorageUnusable
    assert path.read_text() == "not a database\n" * 1000


def test_a_damaged_file_is_unusable(path: Path, storage: SqlStorage) -> None:
    """Pages that were overwritten are found out when they are read."""
    storage.write(lambda t: t.partners.add(a_partner()))
    storage.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(StorageUnusable) as raised:
        SqlStorage.open(_address(path))
    assert raised.type is StorageUnusable


# Transactions.


def test_writers_take_the_lock_at_once(storage: SqlStorage, path: Path) -> None:
    """A writing transaction keeps other writers off before it has written anything."""

    def work(_: Transaction) -> None:
        with closing(sqlite3.connect(path, timeout=0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            # Readers are not kept off.
            other.execute("SELECT count(*) FROM journal").fetchall()

    storage.write(work)


def test_readers_keep_nobody_off(storage: SqlStorage, path: Path) -> None:
    """While one reads another process writes, which the reader does not see."""

    def work(t: Transaction) -> None:
        before = list(t.quotas.list())
        with closing(sqlite3.connect(path, timeout=0)) as other:
            other.execute("INSERT INTO quotas VALUES ('total', 'CNY', 100, 0)")
            other.commit()
        assert list(t.quotas.list()) == before

    storage.read(work)
    assert list(storage.read(lambda t: t.quotas.list())) == [Quota("total", "CNY", 100)]


def test_connections_are_kept(storage: SqlStorage) -> None:
    """One transaction after the other uses the same connection."""
    seen = set()
    for _ in range(5):
        with closing(storage._database.connection()) as connection:
            seen.add(id(connection.driver_connection))
        storage.write(_add_fact)
    assert len(seen) == 1


def test_work_that_hides_an_error_is_not_committed(storage: SqlStorage) -> None:
    """Half of a batch is never kept, also when the work swallows the error."""
    storage.write(lambda t: t.partners.add(a_partner()))
    storage.write(lambda t: t.products.add([a_product("PEAR")]))

    def work(t: Transaction) -> None:
        with pytest.raises(DuplicateKey):
            t.products.add([a_product("APPLE"), a_product("PEAR")])

    with pytest.raises(DuplicateKey):
        storage.write(work)
    assert storage.read(lambda t: t.products.owners(["APPLE", "PEAR"])) == {"PEAR": "green-farm"}


def test_stale_writes_are_tried_ten_times(storage: SqlStorage) -> None:
    """Work that is stale each time is run ten times in all."""
    runs: list[None] = []

    def work(t: Transaction) -> None:
        runs.append(None)
        t.partners.save(a_partner())

    with pytest.raises(StaleWrite):
        storage.write(work)
    assert len(runs) == 10


def test_a_closed_store_is_unusable(storage: SqlStorage) -> None:
    """After closing nothing can be read or written."""
    storage.close()
    with pytest.raises(StorageUnusable):
        storage.read(lambda t: t.quotas.list())
    with pytest.raises(StorageUnusable):
        storage.write(_add_fact)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_is_forked_off_has_connections_of_its_own(storage: SqlStorage) -> None:
    """A child that was made in the middle of a write neither waits for it nor disturbs it."""

    def child() -> None:
        storage._inside.transaction = False
        seen = storage.read(lambda t: t.journal.read())
        with pytest.raises(StorageBusy):
            storage.write(_add_fact)
        os._exit(7 if not seen else 1)

    def work(t: Transaction) -> None:
        t.journal.append([a_fact()])
        process = get_context("fork").Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 7

    storage.write(work)
    assert len(storage.read(lambda t: t.journal.read())) == 1


def test_memory_is_shared_by_threads_in_turn() -> None:
    """Threads that use a store in memory wait for each other, whether they read or write."""
    with closing(SqlStorage.open("sqlite://", busy_timeout_s=0.05)) as storage:
        errors: list[BaseException] = []

        def attempt() -> None:
            try:
                storage.read(lambda t: t.quotas.list())
            except StorageBusy as error:
                errors.append(error)

        def work(_: Transaction) -> None:
            other = threading.Thread(target=attempt)
            other.start()
            other.join()

        storage.write(work)
        assert len(errors) == 1
        attempt()
        assert len(errors) == 1


def test_too_many_readers_wait_and_are_told(path: Path) -> None:
    """When every connection is in use for too long, the store is busy."""
    with closing(SqlStorage.open(_address(path), busy_timeout_s=0.05)) as storage:
        kept = [storage._database.connection() for _ in range(32)]
        with pytest.raises(StorageBusy):
            storage.read(lambda t: t.quotas.list())
        for connection in kept:
            connection.close()
        assert list(storage.read(lambda t: t.quotas.list())) == []


# Errors.


def test_a_file_locked_by_another_process_is_busy(storage: SqlStorage, path: Path) -> None:
    """A writer gives up after the time-out, and writes when the other has ended."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy):
            storage.write(_add_fact)
        assert list(storage.read(lambda t: t.journal.read())) == []
        other.rollback()
    storage.write(_add_fact)
    assert len(storage.read(lambda t: t.journal.read())) == 1


def test_a_writer_of_the_same_process_waits_its_turn(storage: SqlStorage) -> None:
    """A second thread gives up after the time-out."""
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            storage.write(_add_fact)
        except StorageBusy as error:
            errors.append(error)

    def work(_: Transaction) -> None:
        other = threading.Thread(target=attempt)
        other.start()
        other.join()

    storage.write(work)
    assert len(errors) == 1


def test_a_file_opened_for_reading_is_read_only(path: Path) -> None:
    """A store opened with `mode=ro` can be read, and refuses to write."""
    address = URL.create("sqlite", database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    with closing(SqlStorage.open(address)) as storage:
        assert list(storage.read(lambda t: t.quotas.list())) == []
        with pytest.raises(StorageReadOnly):
            storage.write(_add_fact)


def test_a_connection_that_became_read_only_is_told(storage: SqlStorage) -> None:
    """A write that SQLite itself refuses is read-only, too."""
    with closing(storage._database.connection()) as connection:
        connection.cursor().execute("PRAGMA query_only = ON")
    with pytest.raises(StorageReadOnly):
        storage.write(_add_fact)


def test_a_full_database_is_told_and_left_whole(storage: SqlStorage) -> None:
    """When there is no room left nothing of the transaction stands, and reading goes on."""
    storage.write(lambda t: t.partners.add(a_partner()))
    pages = _pragma(storage, "page_count")
    assert isinstance(pages, int)
    assert _pragma(storage, f"max_page_count = {pages + 4}") == pages + 4
    products = [a_product(f"P-{i}") for i in range(1000)]
    with pytest.raises(StorageFull):
        storage.write(lambda t: t.products.add(products))
    assert storage.read(lambda t: t.products.owners(["P-0"])) == {}
    assert _pragma(storage, f"max_page_count = {pages + 4000}") == pages + 4000
    storage.write(lambda t: t.products.add(products))
    assert storage.read(lambda t: t.products.owners(["P-999"])) == {"P-999": "green-farm"}


def test_a_missing_table_is_a_missing_schema(storage: SqlStorage, path: Path) -> None:
    """When somebody takes a table away the schema is missing."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE journal")
    with pytest.raises(SchemaMissing):
        storage.write(_add_fact)


def test_broken_references_and_checks_are_storage_errors(storage: SqlStorage) -> None:
    """What refers to nothing, or has impossible figures, is refused by the database itself."""
    with pytest.raises(StorageError, match="FOREIGN") as foreign:
        storage.write(lambda t: t.orders.add([an_order()]))
    assert foreign.type is StorageError
    storage.write(lambda t: t.partners.add(a_partner()))
    storage.write(lambda t: t.products.add([a_product()]))
    with pytest.raises(StorageError, match="procured_within_ordered") as check:
        storage.write(lambda t: t.products.tally([a_tally_change(Tally(procured=1))]))
    assert check.type is StorageError


def test_values_that_no_column_takes_are_storage_errors(storage: SqlStorage) -> None:
    """A number beyond 64 bits, or half a surrogate pair in a column, is refused as an error."""
    storage.write(lambda t: t.partners.add(a_partner()))
    too_much = ConsignedProduct("green-farm", "N", "name", "unit", 0, "CNY", 2**63)
    unspeakable = ConsignedProduct("green-farm", "N", "\ud800", "unit", 0, "CNY", 1)

    def add(product: ConsignedProduct) -> None:
        storage.write(lambda t: t.products.add([product]))

    for product in (too_much, unspeakable):
        with pytest.raises(StorageError) as raised:
            add(product)
        assert raised.type is StorageError


def test_an_error_at_the_commit_is_told(storage: SqlStorage) -> None:
    """What fails at the very end leaves nothing either."""

    def work(t: Transaction) -> None:
        t.quotas.put(a_quota(), None)
        cursor: Any = t.quotas._session._cursor  # type: ignore[attr-defined]
        cursor.execute("PRAGMA defer_foreign_keys = ON")
        cursor.execute("INSERT INTO ledger_postings VALUES ('a', 'i', 0, 'p', 'k', 'b', 'CNY', 1)")

    with pytest.raises(StorageError, match="FOREIGN"):
        storage.write(work)
    assert list(storage.read(lambda t: t.quotas.list())) == []


def test_other_errors_keep_their_text(tmp_path: Path) -> None:
    """An error without a code of SQLite's is a storage error with the driver's words."""
    database = database_at(f"sqlite:///{tmp_path / 'desk.db'}")
    told = database.told(sqlite3.ProgrammingError("Cannot operate on a closed database."))
    assert type(told) is StorageError
    assert "closed database" in str(told)


def test_connections_of_failed_transactions_come_back(storage: SqlStorage) -> None:
    """However many transactions fail, there are connections for the next one."""
    for _ in range(40):
        with pytest.raises(KeyError):
            storage.read(lambda t: t.partners.get(["nobody"])["nobody"])
    storage.write(_add_fact)


@pytest.mark.parametrize("name", SERVERS)
def test_unknown_parameters_are_unusable(name: str, tmp_path: Path) -> None:
    """What the driver has no parameter for is told, and its value is not."""
    url = f"{empty(name, tmp_path)}?nosuchoption=hush"
    for use in (SqlStorage.open, schema_version, upgrade):
        with pytest.raises(StorageUnusable, match="nosuchoption") as told:
            use(url)
        assert "hush" not in str(told.value)


def test_a_server_without_a_database_is_unusable() -> None:
    """An address that names no database is told as such."""
    for use in (SqlStorage.open, schema_version, upgrade):
        with pytest.raises(StorageUnusable, match="no database"):
            use("mariadb://root@127.0.0.1:3306/")


def test_nothing_of_an_address_that_cannot_be_read_is_told() -> None:
    """A part of a password may be in what is wrong with it."""
    with pytest.raises(StorageUnusable) as told:
        database_at("postgresql://teller:hush")
    assert "hush" not in str(told.value)
    assert told.value.__cause__ is None
