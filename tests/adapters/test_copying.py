"""All rows are taken from one engine to another, or none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import NullPool, create_engine, select
from sqlalchemy.engine import make_url

from consignment.adapters.memory import ManualClock, MemoryMessaging
from consignment.adapters.sqlalchemy import Ledger, SqlStorage, copy_database, upgrade
from consignment.adapters.sqlalchemy.tables import metadata
from consignment.desk import Consignment
from consignment.domain.errors import Conflict, SchemaMissing, StorageUnusable
from consignment.domain.money import Money
from consignment.domain.quota import Quota
from tests import engines
from tests.system.desks import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_NOW = datetime(2026, 9, 1, 2, 0, tzinfo=UTC)
_DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}


def _desk(url: str) -> Consignment:
    storage = SqlStorage.open(url)
    return Consignment(
        storage=storage,
        messaging=MemoryMessaging(),
        crediting=Ledger(storage),
        clock=ManualClock(_NOW),
    )


def _filled(url: str) -> None:
    from consignment.formats import documents  # noqa: PLC0415 - only here

    aksu = ROOT / "examples" / "aksu"
    with _desk(url) as desk:
        desk.admission.set_policy(documents.read_policy((aksu / "policy.json").read_bytes()))
        request = documents.read_admission_request((aksu / "admission.json").read_bytes())
        desk.admission.request(request)
        desk.catalogue.import_products("aksu-luyuan", desk.product_rows(aksu / "products.csv"))
        seller = documents.read_sales_partner((aksu / "sales_partner.json").read_bytes())
        desk.sales_partners.add(seller)
        desk.quotas.set([Quota.of("total", Money.of("999999.00", "CNY"))])
        desk.dispatch.place(documents.read_demand((aksu / "demand.json").read_bytes()))
        desk.work()


def _rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    parsed = make_url(url)
    engine = create_engine(
        parsed.set(drivername=_DRIVERS[parsed.get_backend_name()]), poolclass=NullPool
    )
    with engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
            if table.name != "name_tails"
        }


def test_all_rows_arrive_and_the_desk_works_on(engine: str, tmp_path: Path) -> None:
    """From SQLite to an engine and back, every row is the same, and the desk goes on there."""
    first = engines.empty("sqlite", tmp_path, "first")
    _filled(first)
    second = engines.empty(engine, tmp_path, "second")
    third = engines.empty("sqlite", tmp_path, "third")
    told: list[tuple[str, int]] = []
    counts = copy_database(first, second, progress=lambda *done: told.append(done))
    assert copy_database(second, third) == counts
    rows = _rows(first)
    assert _rows(second) == rows
    assert _rows(third) == rows
    assert counts["orders"] == 1
    assert ("orders", 1) in told
    name = next(row[2] for row in rows["products"] if isinstance(row[2], str))
    with _desk(second) as desk:
        (hit, *_) = desk.progress.by_name(name[1:3]).products
        assert name[1:3] in hit.name
        assert desk.dispatch.cancel("DM-2026-0901:aksu-luyuan", why="moved").ended_at == _NOW


def test_a_target_with_rows_is_refused(engine: str, tmp_path: Path) -> None:
    """Nothing is mixed: every table that has rows is named, and they stay."""
    first = engines.empty("sqlite", tmp_path, "first")
    _filled(first)
    second = engines.empty(engine, tmp_path, "second")
    _filled(second)
    before = _rows(second)
    with pytest.raises(Conflict) as refused:
        copy_database(first, second)
    assert set(refused.value.codes) == {"database_not_empty"}
    tables = {each.details["table"]: each.details["rows"] for each in refused.value.reasons}
    assert tables["orders"] == 1
    assert _rows(second) == before


def test_a_target_without_schema_is_refused(engine: str, tmp_path: Path) -> None:
    """A database that was not upgraded is told as such; so is no address at all."""
    first = engines.empty("sqlite", tmp_path, "first")
    with engines.scratch(engine, tmp_path, "bare") as bare, pytest.raises(SchemaMissing):
        copy_database(first, bare)
    with pytest.raises(StorageUnusable):
        copy_database(first, "oracle://nowhere/desk")


def test_what_breaks_off_leaves_nothing(engine: str, tmp_path: Path) -> None:
    """When the copy ends half-way, the target is as empty as before."""
    first = engines.empty("sqlite", tmp_path, "first")
    _filled(first)
    second = engines.empty(engine, tmp_path, "second")

    def enough(table: str, _: int) -> None:
        if table == "orders":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_database(first, second, progress=enough)
    assert not any(_rows(second).values())
    upgrade(second)
    assert copy_database(first, second)["orders"] == 1
