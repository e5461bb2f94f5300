"""Rows: what is written into columns is read back as it was."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from consignment.adapters.sqlalchemy import SqlStorage
from consignment.adapters.sqlalchemy.codec import (
    instant,
    json_text,
    json_value,
    micros,
    new_entry_id,
    storable_text,
)
from consignment.domain.errors import StorageError
from consignment.domain.message import IntentState
from consignment.domain.rule import (
    Amount,
    Band,
    Deduction,
    DeductionKind,
    Ladder,
    LadderMethod,
    Percent,
    PerUnit,
    Share,
    Withholding,
)
from consignment.testing.builders import (
    NOW,
    a_decision,
    a_fact,
    a_partner,
    a_record,
    a_rule,
    a_settlement,
    an_admission_request,
    an_entry,
    an_order,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consignment.ports.storage import Transaction


@pytest.fixture
def storage() -> Iterator[SqlStorage]:
    """A store in memory."""
    with closing(SqlStorage.open("sqlite://")) as opened:
        yield opened


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=8, minutes=15))])))
def test_instants_are_exact(at: datetime) -> None:
    """An instant comes back to the microsecond, in UTC, over the whole calendar."""
    if datetime(1, 1, 2, tzinfo=UTC) < at < datetime(9999, 12, 30, tzinfo=UTC):
        assert instant(micros(at)) == at
        assert instant(micros(at)).tzinfo is UTC


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(_json)
def test_json_comes_back(value: object) -> None:
    """Whatever text is in it, nested content comes back, and every database can keep it."""
    written = json_text(value)
    written.encode()
    assert "\0" not in written
    assert json_value(written) == value


def test_json_stays_readable() -> None:
    """Chinese is kept as it is; only what cannot be encoded is escaped."""
    assert json_text({"name": "阿克苏苹果"}) == '{"name":"阿克苏苹果"}'
    assert json_text("苹\ud800") == r'"\u82f9\ud800"'


@given(st.text(st.characters()))
def test_any_text_can_be_made_storable(value: str) -> None:
    """Text that is not under our control loses only what no database keeps."""
    kept = storable_text(value)
    kept.encode()
    assert "\0" not in kept
    assert len(kept) == len(value)


def test_ids_of_what_is_appended_rise() -> None:
    """Later ids are greater, also within one instant of the clock."""
    ids = [new_entry_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert {len(each) for each in ids} == {32}


def test_unspeakable_content_is_kept(storage: SqlStorage) -> None:
    """Half a surrogate pair in a fact, a report or an error loses nothing else."""
    storage.write(lambda t: t.journal.append([a_fact(data={"said": "苹\ud800"})]))
    record = a_record(details={"said": "\udfff\0"}, sales_partner_id=None)
    storage.write(lambda t: t.reports.add([record]))
    failed = an_entry("M-1", last_error="why: \udcff\0")
    storage.write(lambda t: t.outbox.add([failed]))
    assert storage.read(lambda t: t.journal.read())[0].data == {"said": "苹\ud800"}
    (read,) = storage.read(lambda t: t.reports.of_order("D-1:green-farm"))
    assert read == record
    entry = storage.read(lambda t: t.outbox.get(["M-1"]))["M-1"]
    assert entry.last_error == "why: ?\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "amount",
    [
        None,
        Percent(percent="12.5", minimum="1.00", cap="1000000.00"),
        Percent(percent=Fraction(1, 3)),
        PerUnit(value="0.00001"),
        Ladder(
            method=LadderMethod.WHOLE_AMOUNT,
            bands=(Band("0", "5"), Band("10000.00", Fraction(1, 7))),
            minimum="0",
        ),
    ],
    ids=lambda amount: type(amount).__name__,
)
def test_rules_come_back_exactly(storage: SqlStorage, amount: Amount | None) -> None:
    """Percentages are fractions, amounts decimals: none is rounded on its way."""
    rule = a_rule(
        amount=amount,
        deductions=(
            Deduction("freight", DeductionKind.REPORTED),
            Deduction("fee", DeductionKind.PERCENT_OF_NET_SALES, Fraction(1, 3)),
        ),
        shares=(
            Share("sales_partner", Fraction(2, 3)),
            Share("bank", "0.1", Withholding("tax", Decimal("800.00"), "20")),
        ),
    )
    storage.write(lambda t: t.rules.add(rule, NOW))
    read = storage.read(lambda t: t.rules.get("profit", 1))
    assert read == rule
    assert read is not None
    assert read.digest() == rule.digest()


def test_an_amount_of_an_unknown_kind_is_refused(storage: SqlStorage) -> None:
    """A kind of amount that nobody could read back is a mistake of the programmer."""
    with pytest.raises(TypeError):
        storage.write(lambda t: t.rules.add(a_rule(amount=Amount()), NOW))
    assert storage.read(lambda t: t.rules.get("profit", 1)) is None


def test_a_decision_keeps_what_the_applicant_wrote(storage: SqlStorage) -> None:
    """The request comes back with its own offset from UTC, so its digest is the same."""
    asked_at = datetime(2026, 8, 31, 9, 30, tzinfo=timezone(timedelta(hours=8)))
    request = evolve(an_admission_request(), requested_at=asked_at)
    decision = a_decision(request=request)
    storage.write(lambda t: t.partners.add_decision(decision))
    (read,) = storage.read(lambda t: t.partners.decisions("ADM-1"))
    assert read == decision
    assert read.request.digest() == decision.digest
    assert read.request.requested_at is not None
    assert read.request.requested_at.utcoffset() == timedelta(hours=8)


def test_shares_that_are_not_the_pool_are_refused(storage: SqlStorage) -> None:
    """A settlement whose shares do not add up is kept by nobody."""
    settlement = a_settlement()
    wrong = evolve(settlement, pool_minor=settlement.pool_minor + 1)
    with pytest.raises(StorageError):
        storage.write(lambda t: t.settlements.add([wrong]))


def test_order_expenses_and_reasons_come_back(storage: SqlStorage) -> None:
    """What is kept as JSON beside an order comes back in the shape of the domain."""
    order = evolve(an_order(), expenses=(("freight", 1), ("运费", 10**15)), end_reason="why")

    def work(t: Transaction) -> None:
        t.partners.add(a_partner())
        t.orders.add([order])

    storage.write(work)
    assert storage.read(lambda t: t.orders.get([order.order_id])) == {order.order_id: order}


def test_an_entry_set_aside_waits_for_nobody(storage: SqlStorage) -> None:
    """It is listed, with when it was due, and is not among those waiting."""
    entry = an_entry("M-1", state=IntentState.SET_ASIDE, attempts=10)
    storage.write(lambda t: t.outbox.add([entry]))
    assert list(storage.read(lambda t: t.outbox.list(IntentState.SET_ASIDE, limit=9))) == [entry]
    assert list(storage.read(lambda t: t.outbox.list(IntentState.WAITING, limit=9))) == []
