"""Admission: the policy that a partner must meet, the request, and the recorded decision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from consignment.domain.digest import content_digest
from consignment.domain.errors import InvalidValue, Reason, reason
from consignment.domain.money import parse_decimal
from consignment.domain.partner import LineAdmission, Partner, PartnerDetails
from consignment.domain.settings import in_utc
from consignment.domain.text import check_id, check_text

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AdmissionDecision",
    "AdmissionPolicy",
    "AdmissionRequest",
    "Assessment",
    "Basis",
    "Criterion",
    "Decision",
    "decide",
]


class Criterion(StrEnum):
    """The five criteria of a qualification review (资质验证)."""

    SALES_CAPABILITY = "sales_capability"
    MANAGEMENT_CAPABILITY = "management_capability"
    PRODUCTION_CAPABILITY = "production_capability"
    PRODUCT_QUALITY = "product_quality"
    CONTRACT_CREDIT = "contract_credit"


class Decision(StrEnum):
    """The answer to an admission request."""

    ADMITTED = "admitted"
    REJECTED = "rejected"
    PENDING = "pending"


class Basis(StrEnum):
    """Why a partner was admitted."""

    PRIOR_COOPERATION = "prior_cooperation"
    QUALIFICATION_REVIEW = "qualification_review"


def _score(value: object) -> Decimal:
    score = parse_decimal(value)
    if not 0 <= score <= 100:  # noqa: PLR2004 - domain.md: a score is 0 to 100
        raise InvalidValue(reason("score_out_of_range", value=str(value)[:64]))
    return score


def _scores(values: Mapping[str, object]) -> dict[Criterion, Decimal]:
    known = {each.value for each in Criterion}
    if unknown := sorted(set(map(str, values)) - known):
        raise InvalidValue([reason("criterion_unknown", criterion=name) for name in unknown])
    return {Criterion(name): _score(score) for name, score in values.items()}


def _overlays(
    values: Mapping[str, Mapping[str, object]],
) -> dict[str, dict[Criterion, Decimal]]:
    return {line: _scores(overlay) for line, overlay in values.items()}


@frozen
class Assessment:
    """One criterion's score, 0 to 100, with a reference to the evidence and its day."""

    criterion: Criterion = field(converter=Criterion)
    score: Decimal = field(converter=_score)
    evidence: str
    assessed_on: date

    def faults(self, minimum: Decimal, oldest: date, today: date) -> list[Reason]:
        """Name what keeps this assessment from meeting its condition."""
        name = self.criterion.value
        found = []
        if self.score < minimum:
            found.append(
                reason(
                    "criterion_below_minimum",
                    criterion=name,
                    score=str(self.score),
                    minimum=str(minimum),
                )
            )
        if not self.evidence.strip():
            found.append(reason("evidence_missing", criterion=name))
        day = self.assessed_on.isoformat()
        if self.assessed_on < oldest:
            found.append(
                reason(
                    "evidence_expired", criterion=name, assessed_on=day, oldest=oldest.isoformat()
                )
            )
        if self.assessed_on > today:
            found.append(
                reason(
                    "evidence_in_future", criterion=name, assessed_on=day, today=today.isoformat()
                )
            )
        return found


def _positive_days(instance: object, attribute: Any, value: int) -> None:  # noqa: ANN401, ARG001 - attrs' signature
    if type(value) is not int or not 0 < value <= 36525:  # noqa: PLR2004 - a century of days
        raise InvalidValue(reason("days_invalid", field=attribute.name, value=repr(value)[:32]))


@frozen
class AdmissionPolicy:
    """What a partner must meet: one immutable version.

    `minimums` has a minimum score for each of the five criteria. `overlays` has further minimums
    per business line, which may only be tighter. All windows are days.

    Raises `InvalidValue` with every fault: `minimum_missing`, `criterion_unknown`,
    `score_out_of_range`, `overlay_loosens`, `days_invalid`, `id_invalid`.
    """

    version: str
    history_window_days: int = field(validator=_positive_days)
    validity_days: int = field(validator=_positive_days)
    evidence_max_age_days: int = field(validator=_positive_days)
    minimums: Mapping[Criterion, Decimal] = field(converter=_scores, hash=False)
    overlays: Mapping[str, Mapping[Criterion, Decimal]] = field(
        factory=dict,
        converter=_overlays,
        hash=False,
    )

    def __attrs_post_init__(self) -> None:
        check_id(self.version, "version")
        faults = [
            reason("minimum_missing", criterion=criterion.value)
            for criterion in Criterion
            if criterion not in self.minimums
        ]
        for line, overlay in self.overlays.items():
            check_id(line, "business_lines")
            faults += [
                reason(
                    "overlay_loosens",
                    business_line=line,
                    criterion=criterion.value,
                    minimum=str(self.minimums[criterion]),
                    overlay=str(minimum),
                )
                for criterion, minimum in overlay.items()
                if criterion in self.minimums and minimum < self.minimums[criterion]
            ]
        if faults:
            raise InvalidValue(faults)

    def minimum(self, criterion: Criterion, business_lines: Iterable[str]) -> Decimal:
        """Give the tightest minimum of a criterion over the business lines asked for."""
        base = self.minimums[criterion]
        return max(self.overlays.get(line, {}).get(criterion, base) for line in business_lines)

    def content(self) -> tuple[object, ...]:
        """Give the policy as plain content."""
        return (
            self.version,
            self.history_window_days,
            self.validity_days,
            self.evidence_max_age_days,
            {name.value: str(score) for name, score in self.minimums.items()},
            {
                line: {name.value: str(score) for name, score in overlay.items()}
                for line, overlay in self.overlays.items()
            },
        )


@frozen
class AdmissionRequest:
    """A company asks to be admitted (or to be admitted to more lines, or again).

    `requested_at` is what the applicant's paper says; the decision is as of the clock.
    """

    request_id: str
    actor: str
    partner: PartnerDetails
    business_lines: tuple[str, ...] = field(converter=tuple[str, ...])
    assessments: tuple[Assessment, ...] = field(default=(), converter=tuple[Assessment, ...])
    requested_at: datetime | None = None

    def __attrs_post_init__(self) -> None:
        check_id(self.request_id, "request_id")
        check_text(self.actor, "actor", 100)
        if self.requested_at is not None:
            in_utc(self.requested_at)
        faults = []
        if not self.business_lines:
            faults.append(reason("business_lines_empty"))
        for line in self.business_lines:
            check_id(line, "business_lines")
        seen: set[Criterion] = set()
        for assessment in self.assessments:
            if assessment.criterion in seen:
                faults.append(reason("criterion_repeated", criterion=assessment.criterion.value))
            seen.add(assessment.criterion)
        if faults:
            raise InvalidValue(faults)

    def digest(self) -> str:
        """Give the digest of the request's content."""
        account = self.partner.account
        return content_digest(
            self.request_id,
            self.actor,
            None if self.requested_at is None else in_utc(self.requested_at),
            [self.partner.partner_id, self.partner.name, self.partner.registration_number],
            [account.holder, account.number, account.bank, account.currency],
            self.business_lines,
            [[a.criterion, a.score, a.evidence, a.assessed_on] for a in self.assessments],
        )


@frozen
class AdmissionDecision:
    """The answer to a request, kept forever with the policy version, evidence and actor.

    `sequence` counts the decisions on one request: a pending one is followed by another when
    assessments are submitted. `valid_until` is the last day, in the bank's time zone.
    """

    request: AdmissionRequest
    decision: Decision
    policy_version: str
    decided_at: datetime
    basis: Basis | None = None
    valid_until: date | None = None
    reasons: tuple[Reason, ...] = ()
    last_cooperation_at: datetime | None = None
    sequence: int = 1
    digest: str = ""

    @property
    def line_admissions(self) -> tuple[LineAdmission, ...]:
        """What the decision admits, per business line; empty unless it is `admitted`."""
        if self.valid_until is None:
            return ()
        return tuple(
            LineAdmission(line, self.valid_until, self.policy_version, self.request.request_id)
            for line in self.request.business_lines
        )


def decide(
    request: AdmissionRequest,
    policy: AdmissionPolicy,
    partner: Partner | None,
    last_cooperation_at: datetime | None,
    *,
    now: datetime,
    today: date,
    sequence: int = 1,
) -> AdmissionDecision:
    """Decide an admission request.

    `last_cooperation_at` is the latest cooperation not after `now`; `today` is the business day
    of `now`. A standing refusal comes before history, history before the assessments.
    """
    basis: Basis | None = None
    reasons: list[Reason] = list(partner.standing_faults()) if partner is not None else []
    decision = Decision.REJECTED
    if reasons:
        pass
    elif _in_window(last_cooperation_at, policy.history_window_days, now):
        decision, basis = Decision.ADMITTED, Basis.PRIOR_COOPERATION
    elif not request.assessments:
        decision = Decision.PENDING
        reasons = [
            reason(
                "assessment_needed",
                criterion=each.value,
                minimum=str(policy.minimum(each, request.business_lines)),
            )
            for each in Criterion
        ]
    else:
        reasons = _review(request, policy, today)
        if not reasons:
            decision, basis = Decision.ADMITTED, Basis.QUALIFICATION_REVIEW
    admitted = decision is Decision.ADMITTED
    return AdmissionDecision(
        request=request,
        decision=decision,
        policy_version=policy.version,
        decided_at=now,
        basis=basis,
        valid_until=today + timedelta(days=policy.validity_days) if admitted else None,
        reasons=tuple(reasons),
        last_cooperation_at=last_cooperation_at,
        sequence=sequence,
        digest=request.digest(),
    )


def _in_window(last: datetime | None, window_days: int, now: datetime) -> bool:
    return last is not None and now - timedelta(days=window_days) <= last <= now


def _review(request: AdmissionRequest, policy: AdmissionPolicy, today: date) -> list[Reason]:
    given = {each.criterion: each for each in request.assessments}
    oldest = today - timedelta(days=policy.evidence_max_age_days)
    faults: list[Reason] = []
    for criterion in Criterion:
        minimum = policy.minimum(criterion, request.business_lines)
        if criterion in given:
            faults += given[criterion].faults(minimum, oldest, today)
        else:
            faults.append(reason("evidence_missing", criterion=criterion.value))
    return faults
