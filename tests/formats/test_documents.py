from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from consignment.domain.admission import Criterion
from consignment.domain.errors import InvalidValue, Refused, UnusableInput
from consignment.domain.money import Money
from consignment.domain.rule import Amount, Band, Ladder, LadderMethod, Percent, PerUnit, Share
from consignment.formats.documents import (
    admission_request_document,
    admission_request_from,
    policy_document,
    policy_from,
    read_admission_request,
    read_assessments,
    read_demand,
    read_policy,
    read_quotas,
    read_rule,
    read_sales_partner,
    rule_document,
    rule_from,
    sales_partner_document,
    sales_partner_from,
)
from consignment.formats.structure import listed, structured

if TYPE_CHECKING:
    from collections.abc import Callable

AKSU = Path(__file__).parents[2] / "examples" / "aksu"

_READERS: dict[str, Callable[[bytes], object]] = {
    "policy": read_policy,
    "admission": read_admission_request,
    "demand": read_demand,
    "quotas": read_quotas,
    "rule": read_rule,
    "sales_partner": read_sales_partner,
}


def _aksu(name: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    document: dict[str, Any] = json.loads((AKSU / f"{name}.json").read_text("utf-8"))
    return {**document, **changes}


def _faults(
    kind: type[UnusableInput | InvalidValue], name: str, document: object
) -> set[tuple[str, str | None]]:
    with pytest.raises(kind) as caught:
        _READERS[name](json.dumps(document).encode())
    json.dumps([each.as_dict() for each in caught.value.reasons])
    return {(each.code, each.details.get("at")) for each in caught.value.reasons}


def test_the_worked_example_is_read() -> None:
    """The six documents of the aksu scenario become the domain's values."""
    policy = read_policy((AKSU / "policy.json").read_bytes())
    assert policy.minimums[Criterion.PRODUCT_QUALITY] == 80
    assert policy.overlays == {"interbank": {Criterion.CONTRACT_CREDIT: 85}}
    request = read_admission_request((AKSU / "admission.json").read_bytes())
    assert request.requested_at == datetime(2026, 8, 20, 1, tzinfo=UTC)
    assert request.partner.account.bank == "307881000015"
    assert len(request.assessments) == 5
    demand = read_demand((AKSU / "demand.json").read_bytes())
    assert [line.quantity for line in demand.lines] == [120, 200, 150]
    assert read_quotas((AKSU / "quotas.json").read_bytes()) == [
        ("business_line:retail", Money.of("30000.00", "CNY"))
    ]
    rule = read_rule((AKSU / "rule.json").read_bytes())
    assert [share.weight for share in rule.shares] == [45, 35, 20]
    assert (rule.amount, rule.currency) == (None, "CNY")
    partner = read_sales_partner((AKSU / "sales_partner.json").read_bytes())
    assert partner.push_schedule is not None
    assert partner.push_schedule.cron == "0 18 * * *"


_ODD: list[Any] = [
    *(None, True, 0, -1, 2**53 - 1, [], {}, [None], {"x": None}, "", " ", "x", "\u202e"),
    *("-1", "1e5", "0.001", "NaN", "9" * 40, "9" * 400),
    *("2026-02-30", "2026-01-01T00:00:00+25:00"),
]


@pytest.mark.parametrize("name", list(_READERS))
@given(data=st.data())
def test_any_json_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """A document with anything anywhere in it raises nothing but the two documented errors."""
    document: Any = json.loads((AKSU / f"{name}.json").read_text("utf-8"))
    places = list(_places(document))
    odd = st.sampled_from(_ODD)
    for _ in range(data.draw(st.integers(1, 4))):
        holder, key = data.draw(st.sampled_from(places))
        if data.draw(st.booleans()):
            holder[key] = data.draw(odd)
        elif isinstance(holder, dict):
            holder.pop(key, None)
            holder["unknown"] = data.draw(odd)
    try:
        _READERS[name](json.dumps(document).encode())
    except (UnusableInput, InvalidValue) as error:
        json.dumps([each.as_dict() for each in error.reasons]).encode()


def _places(value: object) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in items:
            found += [(value, key), *_places(each)]
    return found


@pytest.mark.parametrize("name", list(_READERS))
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_what_is_no_object_is_refused(name: str, value: object) -> None:
    """A document that is something else altogether is refused as that."""
    read = _READERS[name]
    if (name, value) == ("quotas", []):
        assert read(b"[]") == []
        return
    with pytest.raises(UnusableInput):
        read(json.dumps(value).encode())


def test_faults_of_form_are_told_all_at_once() -> None:
    """Unknown and missing fields, wrong types and JSON numbers, each with its path."""
    document = _aksu("admission", assesments=[], business_lines="retail", actor=None)
    document["partner"]["account"]["iban"] = "x"
    del document["partner"]["name"]
    document["assessments"][0]["score"] = 82
    document["assessments"][1]["score"] = 76.5
    document["assessments"][2] = "good"
    assert _faults(UnusableInput, "admission", document) == {
        ("unknown_field", "assesments"),
        ("wrong_type", "business_lines"),
        ("not_text", "actor"),
        ("unknown_field", "partner.account.iban"),
        ("missing_field", "partner.name"),
        ("not_text", "assessments[0].score"),
        ("number_not_exact", "assessments[1].score"),
        ("wrong_type", "assessments[2]"),
    }


def test_values_that_can_never_be_right_are_told_all_at_once() -> None:
    """Check characters, currencies, ids, scores and days, each with its path."""
    document = _aksu("admission", request_id="a b", requested_at="2026-08-20T09:00:00")
    document["partner"]["registration_number"] = "91652901MA0000015X"
    document["partner"]["name"] = "绿源\u202e"
    document["partner"]["account"]["currency"] = "XYZ"
    document["assessments"][0] |= {"criterion": "looks", "score": "101"}
    document["assessments"][1] |= {"score": "-1e5", "assessed_on": "2026-02-30"}
    document["assessments"][2] |= {"assessed_on": "1 July"}
    assert _faults(InvalidValue, "admission", document) == {
        ("id_invalid", "request_id"),
        ("instant_naive", "requested_at"),
        ("registration_number_check_failed", "partner.registration_number"),
        ("text_unprintable", "partner.name"),
        ("currency_unknown", "partner.account.currency"),
        ("criterion_unknown", "assessments[0].criterion"),
        ("score_out_of_range", "assessments[0].score"),
        ("number_invalid", "assessments[1].score"),
        ("date_invalid", "assessments[1].assessed_on"),
        ("date_invalid", "assessments[2].assessed_on"),
    }


def test_faults_of_both_kinds_are_told_together() -> None:
    """Then it is the form that the error is named after."""
    document = _aksu("demand", demand_id="a b", raised_at="2026-09-01T10:00:61Z", more=1)
    assert _faults(UnusableInput, "demand", document) == {
        ("id_invalid", "demand_id"),
        ("instant_invalid", "raised_at"),
        ("unknown_field", "more"),
    }


def test_a_field_with_a_misleading_name_is_named_safely() -> None:
    """A name that would turn the line around is shown escaped."""
    ((_, at),) = _faults(UnusableInput, "demand", _aksu("demand", **{"a\u202eb": 1}))
    assert at == '["a\\u202eb"]'


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"minimums": {"sales_capability": "60"}}, {("minimum_missing", None)}),
        ({"business_lines": {"retail": {"product_quality": "1"}}}, {("overlay_loosens", None)}),
        (
            {"business_lines": {"re tail": {"looks": "1", "product_quality": "x"}}},
            {
                ("id_invalid", 'business_lines["re tail"]'),
                ("criterion_unknown", 'business_lines["re tail"].looks'),
                ("number_invalid", 'business_lines["re tail"].product_quality'),
            },
        ),
        (
            {"validity_days": 0, "history_window_days": -1},
            {("days_invalid", "validity_days"), ("days_invalid", "history_window_days")},
        ),
    ],
)
def test_a_policy_that_cannot_be_is_refused(
    changes: dict[str, Any], expected: set[tuple[str, str | None]]
) -> None:
    """Missing minimums, overlays that loosen, unknown criteria, no days."""
    assert _faults(InvalidValue, "policy", _aksu("policy", **changes)) == expected


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ({"kind": "percent", "percent": "101"}, {("percent_out_of_range", "amount.percent")}),
        ({"kind": "percent", "percent": "5", "cap": "1.001"}, {("too_many_places", None)}),
        (
            {"kind": "per_unit", "value": "1", "minimum": "2", "cap": "1"},
            {("minimum_above_cap", "amount")},
        ),
        ({"kind": "by_mood"}, {("choice_unknown", "amount.kind")}),
        (
            {"kind": "ladder", "method": "sideways", "bands": [{"from": "0", "percent": "-1"}]},
            {
                ("choice_unknown", "amount.method"),
                ("percent_out_of_range", "amount.bands[0].percent"),
            },
        ),
        (
            {"kind": "ladder", "method": "marginal", "bands": [{"from": "1", "percent": "1"}]},
            {("ladder_must_start_at_zero", "amount")},
        ),
    ],
)
def test_an_amount_that_cannot_be_is_refused(
    amount: dict[str, Any], expected: set[tuple[str, str | None]]
) -> None:
    """Percentages, bounds and bands of a settlement rule."""
    assert _faults(InvalidValue, "rule", _aksu("rule", amount=amount)) == expected


def test_an_amount_of_the_wrong_form_is_refused() -> None:
    """The kind decides which members an amount has."""
    assert _faults(UnusableInput, "rule", _aksu("rule", amount={"cap": "1"})) == {
        ("missing_field", "amount.kind")
    }
    amount = {"kind": "percent", "percent": 5, "bands": []}
    assert _faults(UnusableInput, "rule", _aksu("rule", amount=amount)) == {
        ("not_text", "amount.percent"),
        ("unknown_field", "amount.bands"),
    }


def test_quotas_that_cannot_be_are_refused() -> None:
    """Scopes, limits with a third decimal, negative ones, and the same key twice."""
    good = {"scope": "total", "limit": "1.00", "currency": "CNY"}
    document = [good | {"scope": "world"}, good | {"limit": "1.001"}, good | {"limit": "-1"}]
    assert _faults(InvalidValue, "quotas", document) == {
        ("scope_invalid", "[0].scope"),
        ("too_many_places", "[1]"),
        ("limit_negative", "[2]"),
    }
    assert _faults(
        InvalidValue, "quotas", [good, good | {"currency": "JPY", "limit": "1"}, good]
    ) == {("quota_repeated", "[2]")}


def test_a_schedule_that_cannot_be_is_refused() -> None:
    """A cron expression that means nothing, and a place without a time zone."""
    bad = _aksu("sales_partner", push_schedule={"cron": "0 25 * * *"})
    assert _faults(InvalidValue, "sales_partner", bad) == {("cron_invalid", "push_schedule")}
    bad = _aksu("sales_partner", push_schedule={"cron": "* * * * *", "timezone": "Mars/Base"})
    assert _faults(InvalidValue, "sales_partner", bad) == {("timezone_unknown", "push_schedule")}


def test_what_may_be_left_out_may_be_null() -> None:
    """Absent and null are the same for optional members."""
    partner = _aksu("sales_partner", push_schedule=None)
    assert read_sales_partner(json.dumps(partner)).push_schedule is None
    rule = _aksu("rule", amount=None)
    del rule["deductions"]
    assert read_rule(json.dumps(rule)).deductions == ()


def test_a_rule_takes_the_desk_s_currency_unless_it_names_one() -> None:
    """The setting counts for rules without a currency only."""
    rule = _aksu("rule")
    assert read_rule(json.dumps(rule), "USD").currency == "USD"
    assert read_rule(json.dumps({**rule, "currency": "EUR"}), "USD").currency == "EUR"


def test_assessments_can_come_by_themselves() -> None:
    """A later submission is the list that a request would have."""
    assessments = read_assessments(json.dumps(_aksu("admission")["assessments"]))
    assert assessments == read_admission_request(json.dumps(_aksu("admission"))).assessments
    with pytest.raises(UnusableInput, match="wrong_type"):
        read_assessments("{}")


def test_documents_are_written_as_they_are_read() -> None:
    """Policy, request and sales partner come back the same by way of JSON."""
    policy = read_policy((AKSU / "policy.json").read_bytes())
    assert policy_document(policy) == _aksu("policy")
    assert policy_from(json.loads(json.dumps(policy_document(policy)))) == policy
    request = read_admission_request((AKSU / "admission.json").read_bytes())
    assert admission_request_from(admission_request_document(request)) == request
    request = evolve(request, requested_at=None, assessments=())
    assert admission_request_from(admission_request_document(request)) == request
    partner = read_sales_partner((AKSU / "sales_partner.json").read_bytes())
    assert sales_partner_document(partner) == _aksu("sales_partner")
    partner = evolve(partner, push_schedule=None)
    assert sales_partner_from(sales_partner_document(partner)) == partner


_PERCENTS = st.decimals(0, 100, places=8).map(lambda number: Fraction(number) / 100)
_BOUNDS = st.none() | st.decimals(0, 10**6, places=2)
_AMOUNTS: st.SearchStrategy[Amount | None] = st.one_of(
    st.none(),
    st.builds(Percent, percent=_PERCENTS, minimum=_BOUNDS),
    st.builds(PerUnit, value=st.decimals(0, 10**6, places=4), cap=_BOUNDS),
    st.builds(
        lambda percents: Ladder(
            method=LadderMethod.MARGINAL,
            bands=[Band(Decimal(i), percent) for i, percent in enumerate(percents)],
        ),
        st.lists(_PERCENTS, min_size=1, max_size=5),
    ),
)


@given(_AMOUNTS, st.lists(st.decimals("0.0000001", 1000, places=12), min_size=1, max_size=3))
def test_rules_are_written_as_they_are_read(amount: Amount | None, weights: list[Decimal]) -> None:
    """Every kind of amount, and weights with many decimals, come back exactly."""
    rule = evolve(
        read_rule((AKSU / "rule.json").read_bytes()),
        amount=amount,
        shares=[Share(f"sales_partner:{i}", Fraction(w)) for i, w in enumerate(weights)],
    )
    again = rule_from(json.loads(json.dumps(rule_document(rule))))
    assert again == rule
    assert again.digest() == rule.digest()


def test_a_rule_that_no_decimal_can_write_is_refused() -> None:
    """A weight of one third exists in Python only."""
    rule = evolve(
        read_rule((AKSU / "rule.json").read_bytes()), shares=[Share("bank", Fraction(1, 3))]
    )
    with pytest.raises(Refused, match="number_invalid"):
        rule_document(rule)


def test_an_amount_of_a_host_s_own_kind_has_no_document() -> None:
    """That is a mistake in the host's program, and says so."""
    rule = evolve(read_rule((AKSU / "rule.json").read_bytes()), amount=Amount())
    with pytest.raises((TypeError, NotImplementedError)):
        rule_document(rule)


def test_a_document_that_says_a_thing_twice_is_refused_though_it_could_be_read() -> None:
    """Which of the two was meant is not guessed."""
    text = json.dumps(_aksu("demand")).replace("{", '{"demand_id": "DM-1", ', 1)
    with pytest.raises(UnusableInput) as caught:
        read_demand(text)
    assert [each.as_dict() for each in caught.value.reasons] == [
        {"code": "name_repeated", "at": "demand_id"}
    ]


def test_an_error_that_nobody_expects_is_not_taken_for_a_fault_of_the_document() -> None:
    """A mistake in a reader comes out as what it is."""

    def broken(_value: object) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        structured(listed(broken), [1])
