from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consignment.domain.errors import InvalidValue, UnusableInput
from consignment.domain.message import Message, Recipient
from consignment.domain.report import (
    ExpenseReported,
    PartnerReport,
    Procured,
    ReportKind,
    WrittenOff,
)
from consignment.formats.cloudevents import (
    MAX_MESSAGE_BYTES,
    event_of,
    jsonl_messages,
    peek_id,
    read_report,
    write_event,
)

MESSAGES = Path(__file__).parents[2] / "examples" / "aksu" / "messages.jsonl"
_LINE = {"product_number": "APPLE", "quantity": "2"}
_DATA: dict[str, dict[str, Any]] = {
    "order.accepted": {},
    "order.rejected": {"reason": "涨价了"},
    "goods.procured": {"lines": [_LINE | {"unit_cost": "49.50"}], "final": True},
    "goods.sold": {"lines": [_LINE | {"unit_price": "68.80"}]},
    "goods.returned": {"lines": [_LINE | {"unit_price": "68.80"}]},
    "goods.sent_back": {"lines": [_LINE | {"unit_credit": "49.50"}]},
    "goods.written_off": {"lines": [_LINE], "reason": "霉变"},
    "expense.reported": {"name": "freight", "amount": "480.15", "currency": "CNY"},
    "order.completed": {},
}


def _event(kind: str = "goods.sold", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {
        "specversion": "1.0",
        "id": "SR-1",
        "source": "/partners/green-farm",
        "type": f"consignment.{kind}",
        "time": "2026-09-20T21:00:00+08:00",
        "datacontenttype": "application/json",
        "data": {"order_id": "D-1:green-farm", **_DATA.get(kind, {})},
        **changes,
    }


def _read(event: object) -> PartnerReport:
    return read_report(json.dumps(event).encode())


def _faults(kind: type[UnusableInput | InvalidValue], event: object) -> set[tuple[str, str | None]]:
    with pytest.raises(kind) as caught:
        _read(event)
    return {(each.code, each.details.get("at")) for each in caught.value.reasons}


def test_the_worked_example_is_read() -> None:
    """The messages of the aksu scenario, one sent twice, become reports."""
    reports = [read_report(raw) for raw in jsonl_messages(MESSAGES)]
    assert [report.report_id for report in reports] == [
        *("AC-1", "PR-1", "SR-1", "SR-2", "SR-2", "SR-3", "RT-1", "SB-1", "EX-1", "CP-1")
    ]
    procured, expense = reports[1], reports[8]
    assert isinstance(procured, Procured)
    assert procured.final
    assert procured.occurred_at == datetime(2026, 9, 3, 8, tzinfo=UTC)
    assert [line.unit_amount for line in procured.lines][:1] == [Decimal("49.50")]
    assert isinstance(expense, ExpenseReported)
    assert (expense.name, expense.amount) == ("freight", Decimal("480.15"))
    assert reports[3].digest() == reports[4].digest()


@pytest.mark.parametrize("kind", list(_DATA))
def test_every_kind_of_report_is_read(kind: str) -> None:
    """The type says which; the lines name the amount of one unit as the kind does."""
    report = _read(_event(kind))
    assert report.kind == kind
    assert report.order_id == "D-1:green-farm"
    if isinstance(report, WrittenOff):
        assert report.lines[0].unit_amount is None


def test_the_kinds_are_all_there() -> None:
    """No kind of report is without a message."""
    assert {each.value for each in ReportKind} - {"unreadable"} == set(_DATA)


def test_what_cloudevents_allows_beside_is_passed_over() -> None:
    """Optional attributes, null ones, and extensions with simple values."""
    plain = _read(_event())
    more = _event(
        subject="D-1:green-farm",
        dataschema="https://example.com/schema",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
        sequence=7,
        sampled=True,
        partitionkey=None,
        datacontenttype="Application/JSON; charset=UTF-8",
    )
    assert _read(more) == plain
    assert _read(_event(datacontenttype=None)) == plain


def test_faults_of_form_are_told_all_at_once() -> None:
    """Of the envelope and of the data, each with its path."""
    event = _event(
        "goods.procured",
        specversion="0.3",
        id=7,
        datacontenttype="text/xml",
        Upper="x",
        tags=[],
        long=2**40,
        subject="",
        extra_data="x",
    )
    del event["time"]
    event["data"] |= {
        "final": "yes",
        "colour": "red",
        "lines": [
            {"product_number": "APPLE", "quantity": 2, "unit_cost": 1.5},
            {"product_number": "APPLE", "quantity": "1e5", "unit_price": "1"},
            None,
        ],
    }
    assert _faults(UnusableInput, event) == {
        ("specversion_unsupported", "specversion"),
        ("not_text", "id"),
        ("missing_field", "time"),
        ("datacontenttype_unsupported", "datacontenttype"),
        ("unknown_field", "Upper"),
        ("wrong_type", "tags"),
        ("wrong_type", "long"),
        ("text_missing", "subject"),
        ("unknown_field", "extra_data"),
        ("wrong_type", "data.final"),
        ("unknown_field", "data.colour"),
        ("not_text", "data.lines[0].quantity"),
        ("number_not_exact", "data.lines[0].unit_cost"),
        ("number_invalid", "data.lines[1].quantity"),
        ("missing_field", "data.lines[1].unit_cost"),
        ("unknown_field", "data.lines[1].unit_price"),
        ("wrong_type", "data.lines[2]"),
    }


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (_event(type="consignment.goods.eaten"), {("type_unknown", "type")}),
        (_event(type="goods.sold"), {("type_unknown", "type")}),
        (_event(id="a\u200bb"), {("text_unprintable", "id")}),
        (_event(id="x" * 129), {("text_too_long", "id")}),
        (_event(time="2026-09-20T21:00:00"), {("instant_naive", "time")}),
        (_event(time="2026-09-20 21:00:00Z"), {("instant_invalid", "time")}),
        (_event(time="2026-02-30T21:00:00Z"), {("instant_invalid", "time")}),
        (_event(time="0001-01-01T00:00:00+23:59"), {("instant_invalid", "time")}),
        (_event(data={"order_id": "D-1", "lines": []}), {("lines_empty", "data")}),
        (
            _event(data={"order_id": " ", "lines": []}),
            {("id_invalid", "data.order_id")},
        ),
        (
            _event(data={"order_id": "D-1", "lines": [_LINE | {"unit_price": "1"}] * 2}),
            {("line_repeated", "data")},
        ),
        (
            _event(
                "expense.reported",
                data={"order_id": "D-1", "name": " x", "amount": "NaN", "currency": "XXX"},
            ),
            {
                ("text_has_outer_spaces", "data.name"),
                ("number_invalid", "data.amount"),
                ("currency_unknown", "data.currency"),
            },
        ),
    ],
)
def test_values_that_can_never_be_right_are_refused(
    event: dict[str, Any], expected: set[tuple[str, str | None]]
) -> None:
    """Types, ids, instants, lines, numbers and currencies."""
    assert _faults(InvalidValue, event) == expected


@pytest.mark.parametrize("raw", [b"", b"[]", b"1", b'"x"', b"null", b"\xff", b"{", b"[" * 99999])
def test_what_is_no_event_is_refused(raw: bytes) -> None:
    """And claims no id."""
    with pytest.raises(UnusableInput):
        read_report(raw)
    assert peek_id(raw) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """Whatever comes, the only errors are the two documented ones."""
    assert peek_id(raw) is None or isinstance(peek_id(raw), str)
    with pytest.raises((UnusableInput, InvalidValue)):
        read_report(raw)


@given(st.sampled_from(list(_DATA)), st.data())
def test_any_damaged_event_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    """Likewise an event with a piece cut out or put in."""
    raw = json.dumps(_event(kind)).encode()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 20)))
    piece = data.draw(st.binary(max_size=8) | st.sampled_from([b"null", b"1e999", b'{"a":[]}']))
    try:
        report = read_report(raw[:start] + piece + raw[end:])
    except (UnusableInput, InvalidValue) as error:
        json.dumps([each.as_dict() for each in error.reasons]).encode()
    else:
        assert report.digest()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"id": "SR-1"}', "SR-1"),
        (b'{"id": "SR-1", "x": NaN, "y": {"id": "SR-2"}}', "SR-1"),
        (b'{"id": "SR-1", "id": "SR-2"}', None),
        (b'{"id": 5}', None),
        (b'{"id": 5.0}', None),
        (b'{"id": ""}', None),
        (b'{"id": "\\ud800"}', None),
        (b'{"id": "' + b"x" * 129 + b'"}', None),
        (b'{"x": 1}', None),
        (b'{"id": "SR-1"', None),
    ],
)
def test_the_id_of_a_malformed_event_is_found_when_it_is_sure(
    raw: bytes, expected: str | None
) -> None:
    """So that a refusal can name what it refuses."""
    assert peek_id(raw) == expected


def _message(**changes: Any) -> Message:  # noqa: ANN401 - any of its attributes
    values: dict[str, Any] = {
        "message_id": "placed~D-1~green-farm",
        "recipient": Recipient.partner("green-farm"),
        "type": "order.placed",
        "time": datetime(2026, 9, 1, 10, 0, tzinfo=timezone(timedelta(hours=8))),
        "data": {"name": "苹果", "lines": [{"quantity": "1.250"}], "final": True, "none": None},
        "order_id": "D-1:green-farm",
    }
    return Message(**{**values, **changes})


def test_a_message_is_written_as_an_event() -> None:
    """The time is in UTC with a Z, the order is the subject, and it is one line."""
    raw = write_event(_message())
    assert b"\n" not in raw
    assert json.loads(raw) == {
        "specversion": "1.0",
        "id": "placed~D-1~green-farm",
        "source": "/consignment",
        "type": "consignment.order.placed",
        "time": "2026-09-01T02:00:00Z",
        "datacontenttype": "application/json",
        "subject": "D-1:green-farm",
        "data": _message().data,
    }
    event = event_of(_message(order_id=None), source="/bank")
    assert "subject" not in event
    assert event["source"] == "/bank"


@given(st.sampled_from(list(_DATA)), st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_can_be_read(kind: str, time: datetime) -> None:
    """An event that says what a report says is read as that report, to the microsecond."""
    data = {"order_id": "D-1:green-farm", **_DATA[kind]}
    message = _message(message_id="SR-1", type=kind, time=time, data=data)
    report = read_report(write_event(message))
    assert report.occurred_at == time
    assert report.report_id == "SR-1"


@pytest.mark.parametrize("data", [{"x": float("nan")}, {"x": Decimal(1)}, {"x": "\ud800"}])
def test_what_is_no_json_is_not_written(data: dict[str, Any]) -> None:
    """A message that nobody could read is an error of the program that made it."""
    with pytest.raises((TypeError, ValueError)):
        write_event(_message(data=data))


def test_json_lines_are_split_strictly(tmp_path: Path) -> None:
    """By line feeds, with or without carriage returns; blank lines are left out."""
    data = b'{"a":1}\r\n\n  \n{"b":"\xe2\x80\xa8"}\n{"c":3}'
    expected = [b'{"a":1}', b'{"b":"\xe2\x80\xa8"}', b'{"c":3}']
    path = tmp_path / "messages.jsonl"
    path.write_bytes(data)
    assert list(jsonl_messages(data)) == expected
    assert list(jsonl_messages(path)) == expected
    file = BytesIO(data)
    assert list(jsonl_messages(file)) == expected
    assert not file.closed
    assert list(jsonl_messages(b"")) == []


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [*range(8, 16), 100])
def test_a_line_that_is_too_long_is_cut_and_the_next_is_whole(size: int, end: bytes) -> None:
    """Only so much of it is given that reading refuses it; lines around it are untouched."""
    data = b"{}\n" + b"x" * size + (end + b"[1]" if end else b"")
    first, long, *rest = jsonl_messages(data, max_bytes=10)
    assert (first, rest) == (b"{}", [b"[1]"] if end else [])
    assert long == b"x" * min(size, 11)


def test_a_message_that_is_too_long_is_refused_for_that() -> None:
    """One of ten megabytes on a line of its own keeps the others unharmed."""
    good = json.dumps(_event()).encode()
    data = b"\n".join([good, b'{"id": "' + b"x" * 10_000_000 + b'"}', good])
    first, long, last = jsonl_messages(data)
    assert first == last == good
    assert len(long) == MAX_MESSAGE_BYTES + 1
    with pytest.raises(UnusableInput, match="too_large"):
        read_report(long)
    assert peek_id(long) is None
