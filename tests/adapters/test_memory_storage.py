"""What the memory store does beside its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from consignment.adapters.memory import MemoryStorage
from consignment.domain.errors import (
    StaleWrite,
    StorageError,
    StorageReadOnly,
    StorageUnusable,
    reason,
)
from consignment.domain.progress import Tally
from consignment.domain.quota import Quota
from consignment.domain.settlement import CreditState
from consignment.testing.builders import (
    NOW,
    a_decision,
    a_line,
    a_partner,
    a_policy,
    a_product,
    a_quota,
    a_record,
    a_registration_number,
    a_settlement,
    a_tally_change,
    an_order,
    details,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from consignment.domain.order import OrderLine
    from consignment.ports.storage import Transaction


@pytest.fixture
def storage() -> MemoryStorage:
    """A store with a partner, a product and a quota of which 1.00 is used."""
    store = MemoryStorage()
    store.write(lambda t: t.partners.add(a_partner()))
    store.write(lambda t: t.products.add([a_product()]))
    store.write(lambda t: t.quotas.put(a_quota(used="1.00"), None))
    return store


@pytest.mark.parametrize(
    "line",
    [
        a_line(procured=11),
        a_line(procured=5, sold=6),
        a_line(procured=5, sold=2, returned=3),
        a_line(procured=5, sold=3, sent_back=2, written_off=1),
        a_line(procured=5, sent_back=-1),
        a_line(procured=5, procurement_cost_minor=-1),
        a_line(sent_back_credit_minor=-1),
        a_line(gross_sales_minor=-1),
        a_line(returns_minor=-1),
        a_line(settled=-1),
        a_line(price_minor=-1),
        a_line("APPLE", -1),
    ],
)
def test_impossible_figures_of_an_order_are_refused(
    storage: MemoryStorage, line: OrderLine
) -> None:
    """What the SQL tables' CHECK constraints refuse, is refused here too, on add and save."""
    good = an_order()
    bad = evolve(good, lines=(line,))
    with pytest.raises(StorageError):
        storage.write(lambda t: t.orders.add([bad]))
    storage.write(lambda t: t.orders.add([good]))
    with pytest.raises(StorageError):
        storage.write(lambda t: t.orders.save([(good, bad)]))
    assert storage.read(lambda t: t.orders.get([good.order_id])) == {good.order_id: good}


@pytest.mark.parametrize(
    "work",
    [
        lambda t: t.products.tally([a_tally_change(Tally(ordered=-1))]),
        lambda t: t.products.tally([a_tally_change(Tally(ordered=2, procured=1, sold=2))]),
        lambda t: t.quotas.change({"green-farm": {("total", "CNY"): -101}}),
        lambda t: t.quotas.put(Quota("total", "CNY", 5, -1), None),
        lambda t: t.settlements.add([a_settlement(pool_minor=9999)]),
        lambda t: t.settlements.add([a_settlement(shares=(), pool_minor=1)]),
        lambda t: t.partners.save(
            evolve(a_partner(), details=details(registration_number=a_registration_number("x")))
        ),
    ],
)
def test_impossible_rows_are_refused(
    storage: MemoryStorage, work: Callable[[Transaction], None]
) -> None:
    """Tallies, quotas, shares and registrations that cannot be are refused, with no trace."""
    with pytest.raises(StorageError):
        storage.write(work)
    assert storage.read(lambda t: list(t.quotas.list())) == [a_quota(used="1.00")]
    stored = storage.read(lambda t: t.products.get("green-farm", ["APPLE"]))
    assert stored["APPLE"] == (a_product(), Tally())


@pytest.mark.parametrize(
    "work",
    [
        lambda t: t.products.tally([a_tally_change(Tally(), "PEAR")]),
        lambda t: t.products.tally([a_tally_change(Tally(), "APPLE", "other-farm")]),
        lambda t: t.reports.mark_pushed([a_record()], NOW),
        lambda t: t.settlements.mark([(a_settlement(), "bank", CreditState.CREDITED)]),
    ],
)
def test_changes_of_what_is_not_there_are_stale(
    storage: MemoryStorage, work: Callable[[Transaction], None]
) -> None:
    """What is to be changed but is not there is no longer as it was read."""
    with pytest.raises(StaleWrite):
        storage.write(work)


def test_a_transaction_that_has_ended_writes_no_more(storage: MemoryStorage) -> None:
    """A transaction that somebody kept refuses to write after its end."""
    kept = storage.write(lambda t: t)
    with pytest.raises(StorageReadOnly):
        kept.partners.add(a_partner("other-farm"))


def test_a_closed_store_refuses_everything(storage: MemoryStorage) -> None:
    """After `close` the store is no store any more."""
    storage.close()
    with pytest.raises(StorageUnusable):
        storage.read(lambda t: t.partners.list())
    with pytest.raises(StorageUnusable):
        storage.write(lambda t: t.partners.list())


def test_figures_of_reasons_are_copied(storage: MemoryStorage) -> None:
    """Nobody can change the reasons of a decision, nor a policy, from outside."""
    figures = {"criterion": "product_quality", "scores": ["1"]}
    decision = evolve(a_decision(), reasons=(reason("x", **figures),))
    policy = a_policy(overlays={"retail": {"product_quality": "90"}})
    storage.write(lambda t: t.partners.add_decision(decision))
    storage.write(lambda t: t.policies.add(policy, NOW))
    figures["scores"] = []
    decision.reasons[0].details["scores"].append("2")
    policy.overlays["retail"].clear()  # type: ignore[attr-defined] # it is a dict
    (read,) = storage.read(lambda t: t.partners.decisions("ADM-1"))
    assert read.reasons[0].details == {"criterion": "product_quality", "scores": ["1"]}
    in_force = storage.read(lambda t: t.policies.get())
    assert in_force == a_policy(overlays={"retail": {"product_quality": "90"}})
