"""The documents that a bank writes, as JSON: policy, admission, demand, quotas, rule, and so on.

Each `read_…` takes the bytes of a document and gives the domain's own values. It raises

- `UnusableInput` when the document does not have the form: not strict JSON (see `strict_json`),
  `missing_field`, `unknown_field`, `wrong_type`, `not_text` (amounts and quantities are text);
- `InvalidValue` when the form is right and a value can never be: a check digit, a currency, a
  third decimal in CNY, a minimum above the cap.

All faults are told at once, each with `at`, the path to it; with faults of both kinds it is
`UnusableInput`. What holds between several fields is looked at when each of them is right.

`policy_document` and `rule_document` (and the others) write what `…_from` and `read_…` read.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from consignment.domain.admission import AdmissionPolicy, AdmissionRequest, Assessment, Criterion
from consignment.domain.errors import InvalidValue, reason
from consignment.domain.money import Money
from consignment.domain.order import ConsignmentDemand, DemandLine
from consignment.domain.partner import Account, PartnerDetails
from consignment.domain.quota import check_quota_scope
from consignment.domain.rule import (
    Amount,
    Band,
    Basis,
    Deduction,
    DeductionKind,
    Ladder,
    LadderMethod,
    Percent,
    PerUnit,
    SettlementRule,
    Share,
    Withholding,
)
from consignment.domain.sales_partner import PushSchedule, SalesPartner
from consignment.domain.text import check_registration_number
from consignment.formats import strict_json
from consignment.formats.structure import (
    Member,
    Reader,
    as_attribute,
    choice,
    currency,
    day,
    decimal,
    identifier,
    instant,
    listed,
    mapped,
    need_object,
    optional,
    placed,
    printable,
    record,
    structured,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

__all__ = [
    "account_document",
    "admission_request_document",
    "admission_request_from",
    "policy_document",
    "policy_from",
    "read_admission_request",
    "read_assessments",
    "read_demand",
    "read_policy",
    "read_quotas",
    "read_rule",
    "read_sales_partner",
    "rule_document",
    "rule_from",
    "sales_partner_document",
    "sales_partner_from",
]

T = TypeVar("T")


# Readers of parts.


def _registration_number(value: object) -> str:
    return check_registration_number(text(value))


_criterion = choice(Criterion, "criterion_unknown")
_scores = mapped(_criterion, as_attribute(Assessment, "score", decimal))

_account = record(
    Account,
    holder=printable(),
    number=printable(64),
    bank=printable(64),
    currency=currency,
)
_assessments = listed(
    record(Assessment, criterion=_criterion, score=decimal, evidence=text, assessed_on=day)
)
_policy = record(
    AdmissionPolicy,
    version=identifier,
    history_window_days=whole,
    validity_days=whole,
    evidence_max_age_days=whole,
    minimums=_scores,
    overlays=Member("business_lines", mapped(identifier, _scores)),
)
_admission_request = record(
    AdmissionRequest,
    request_id=identifier,
    actor=printable(100),
    partner=record(
        PartnerDetails,
        partner_id=identifier,
        name=printable(),
        registration_number=_registration_number,
        account=_account,
    ),
    business_lines=listed(identifier),
    assessments=_assessments,
    requested_at=optional(instant),
)
_demand = record(
    ConsignmentDemand,
    demand_id=identifier,
    business_line=identifier,
    sales_partner_id=identifier,
    lines=listed(record(DemandLine, product_number=text, quantity=decimal)),
    raised_at=optional(instant),
)
_push_schedule = record(PushSchedule, cron=text, timezone=text)
_sales_partner = record(
    SalesPartner,
    sales_partner_id=identifier,
    name=printable(),
    account=_account,
    push_schedule=optional(_push_schedule),
)


@frozen
class _QuotaLimit:
    """One entry of a list of quotas."""

    scope: str
    limit: Decimal
    currency: str

    @property
    def money(self) -> Money:
        return Money.of(self.limit, self.currency)

    def __attrs_post_init__(self) -> None:
        if self.money.minor < 0:
            raise InvalidValue(reason("limit_negative", limit=str(self.limit)))


_quota_limits = listed(
    record(
        _QuotaLimit,
        scope=lambda value: check_quota_scope(text(value)),
        limit=decimal,
        currency=currency,
    )
)


class _AmountKind(StrEnum):
    PERCENT = "percent"
    PER_UNIT = "per_unit"
    LADDER = "ladder"


_bounds = {"minimum": optional(decimal), "cap": optional(decimal)}
_amounts: dict[_AmountKind, Reader[Amount]] = {
    _AmountKind.PERCENT: record(Percent, percent=text, **_bounds),
    _AmountKind.PER_UNIT: record(PerUnit, value=decimal, **_bounds),
    _AmountKind.LADDER: record(
        Ladder,
        method=choice(LadderMethod),
        bands=listed(record(Band, start=Member("from", decimal), percent=text)),
        **_bounds,
    ),
}


def _amount(value: object) -> Amount:
    members = dict(need_object(value))
    # Without a kind it is a KeyError, which stands for a missing field.
    kind = placed("kind", choice(_AmountKind))(members.pop("kind"))
    return _amounts[kind](members)


_rule = record(
    SettlementRule,
    rule_id=identifier,
    version=whole,
    effective_from=day,
    scope=text,
    basis=choice(Basis),
    deductions=listed(
        record(Deduction, name=text, kind=choice(DeductionKind), percent=optional(text))
    ),
    amount=optional(_amount),
    shares=listed(
        record(
            Share,
            beneficiary=text,
            weight=text,
            withholding=optional(record(Withholding, name=text, threshold=decimal, percent=text)),
        )
    ),
    currency=currency,
)


def _read(read: Reader[T], data: bytes | str) -> T:
    value, faults = strict_json.examine(data)
    return structured(read, value, faults)


# Whole documents.


def read_policy(data: bytes | str) -> AdmissionPolicy:
    """Read an admission policy; `business_lines` has the tighter minimums of single lines."""
    return _read(_policy, data)


def policy_from(document: Mapping[str, Any]) -> AdmissionPolicy:
    """Read a policy from plain values, as `policy_document` gives them."""
    return structured(_policy, document)


def policy_document(policy: AdmissionPolicy) -> dict[str, Any]:
    """Give a policy as plain JSON values."""
    return {
        "version": policy.version,
        "history_window_days": policy.history_window_days,
        "validity_days": policy.validity_days,
        "evidence_max_age_days": policy.evidence_max_age_days,
        "minimums": _scores_document(policy.minimums),
        "business_lines": {
            line: _scores_document(overlay) for line, overlay in policy.overlays.items()
        },
    }


def read_admission_request(data: bytes | str) -> AdmissionRequest:
    """Read an admission request, with or without assessments."""
    return _read(_admission_request, data)


def admission_request_from(document: Mapping[str, Any]) -> AdmissionRequest:
    """Read a request from plain values, as `admission_request_document` gives them."""
    return structured(_admission_request, document)


def admission_request_document(request: AdmissionRequest) -> dict[str, Any]:
    """Give an admission request as plain JSON values."""
    document: dict[str, Any] = {
        "request_id": request.request_id,
        "actor": request.actor,
        "partner": {
            "partner_id": request.partner.partner_id,
            "name": request.partner.name,
            "registration_number": request.partner.registration_number,
            "account": account_document(request.partner.account),
        },
        "business_lines": list(request.business_lines),
        "assessments": [
            {
                "criterion": each.criterion.value,
                "score": _decimal_text(each.score),
                "evidence": each.evidence,
                "assessed_on": each.assessed_on.isoformat(),
            }
            for each in request.assessments
        ],
    }
    if request.requested_at is not None:
        document["requested_at"] = request.requested_at.isoformat()
    return document


def read_assessments(data: bytes | str) -> tuple[Assessment, ...]:
    """Read a list of assessments, as an admission request has it."""
    return _read(_assessments, data)


def read_demand(data: bytes | str) -> ConsignmentDemand:
    """Read a consignment demand."""
    return _read(_demand, data)


def read_quotas(data: bytes | str) -> list[tuple[str, Money]]:
    """Read a list of quotas: for each its scope and limit.

    Beside the usual: `scope_invalid`, `limit_negative`, and `quota_repeated` for a scope and
    currency that come twice.
    """
    limits = _read(_quota_limits, data)
    keys = [(each.scope, each.currency) for each in limits]
    repeated = [
        reason("quota_repeated", at=f"[{i}]", scope=key[0], currency=key[1])
        for i, key in enumerate(keys)
        if key in keys[:i]
    ]
    if repeated:
        raise InvalidValue(repeated)
    return [(each.scope, each.money) for each in limits]


def read_sales_partner(data: bytes | str) -> SalesPartner:
    """Read a sales partner; without a `push_schedule` no sales data are sent."""
    return _read(_sales_partner, data)


def sales_partner_from(document: Mapping[str, Any]) -> SalesPartner:
    """Read a sales partner from plain values, as `sales_partner_document` gives them."""
    return structured(_sales_partner, document)


def sales_partner_document(sales_partner: SalesPartner) -> dict[str, Any]:
    """Give what a caller says of a sales partner as plain JSON values."""
    document: dict[str, Any] = {
        "sales_partner_id": sales_partner.sales_partner_id,
        "name": sales_partner.name,
        "account": account_document(sales_partner.account),
    }
    if (schedule := sales_partner.push_schedule) is not None:
        document["push_schedule"] = {"cron": schedule.cron, "timezone": schedule.timezone}
    return document


def account_document(account: Account) -> dict[str, Any]:
    """Give an account as plain JSON values."""
    return {
        "holder": account.holder,
        "number": account.number,
        "bank": account.bank,
        "currency": account.currency,
    }


def read_rule(data: bytes | str, default_currency: str = "CNY") -> SettlementRule:
    """Read a settlement rule; `default_currency` is that of a rule which names none."""
    value, faults = strict_json.examine(data)
    return structured(_rule, _with_currency(value, default_currency), faults)


def rule_from(document: Mapping[str, Any], default_currency: str = "CNY") -> SettlementRule:
    """Read a rule from plain values, as `rule_document` gives them."""
    return structured(_rule, _with_currency(document, default_currency))


def _with_currency(document: object, currency: str) -> object:
    return {"currency": currency, **document} if isinstance(document, dict) else document


def rule_document(rule: SettlementRule) -> dict[str, Any]:
    """Give a settlement rule as plain JSON values."""
    document: dict[str, Any] = {
        "rule_id": rule.rule_id,
        "version": rule.version,
        "effective_from": rule.effective_from.isoformat(),
        "scope": rule.scope,
        "basis": rule.basis.value,
        "deductions": [_deduction_document(each) for each in rule.deductions],
        "shares": [_share_document(each) for each in rule.shares],
        "currency": rule.currency,
    }
    if rule.amount is not None:
        document["amount"] = _amount_document(rule.amount)
    return document


def _scores_document(scores: Mapping[Criterion, Decimal]) -> dict[str, str]:
    return {criterion.value: _decimal_text(score) for criterion, score in scores.items()}


def _deduction_document(deduction: Deduction) -> dict[str, Any]:
    document: dict[str, Any] = {"name": deduction.name, "kind": deduction.kind.value}
    if deduction.percent is not None:
        document["percent"] = _decimal_text(deduction.percent * 100)
    return document


def _share_document(share: Share) -> dict[str, Any]:
    document: dict[str, Any] = {
        "beneficiary": share.beneficiary,
        "weight": _decimal_text(share.weight),
    }
    if (withholding := share.withholding) is not None:
        document["withholding"] = {
            "name": withholding.name,
            "threshold": _decimal_text(withholding.threshold),
            "percent": _decimal_text(withholding.percent * 100),
        }
    return document


def _amount_document(amount: Amount) -> dict[str, Any]:
    document: dict[str, Any]
    if isinstance(amount, Percent):
        document = {"kind": "percent", "percent": _decimal_text(amount.percent * 100)}
    elif isinstance(amount, PerUnit):
        document = {"kind": "per_unit", "value": _decimal_text(amount.value)}
    elif isinstance(amount, Ladder):
        document = {
            "kind": "ladder",
            "method": amount.method.value,
            "bands": [
                {"from": _decimal_text(band.start), "percent": _decimal_text(band.percent * 100)}
                for band in amount.bands
            ],
        }
    else:
        msg = f"no document form for {type(amount).__name__}"
        raise TypeError(msg)
    for name, bound in (("minimum", amount.minimum), ("cap", amount.cap)):
        if bound is not None:
            document[name] = _decimal_text(bound)
    return document


def _decimal_text(value: Decimal | Fraction) -> str:
    """Write a decimal exactly."""
    if isinstance(value, Decimal):
        return format(value, "f")
    scale, places = 1, 0
    while scale % value.denominator:
        scale, places = 10 * scale, places + 1
        if places > _MAX_PLACES:
            raise InvalidValue(reason("number_invalid", value=str(value)))
    # Made from text, a decimal is exact whatever the context's precision.
    return format(Decimal(f"{value.numerator * (scale // value.denominator)}E-{places}"), "f")


#: Numbers from outside have at most so many decimal places.
_MAX_PLACES = 32
