"""Admission policies, partners and the decisions on their admission."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import (
    day,
    instant,
    json_text,
    json_value,
    micros,
    new_entry_id,
    optional_day,
    optional_instant,
    optional_micros,
    reasons_content,
    reasons_of,
)
from consignment.adapters.sqlalchemy.engines.galera import PASS_GATES, partner_gate
from consignment.adapters.sqlalchemy.statements import KEYS, Lock, Session, Statement, one_of
from consignment.domain.admission import (
    AdmissionDecision,
    AdmissionPolicy,
    AdmissionRequest,
    Assessment,
    Basis,
    Criterion,
    Decision,
)
from consignment.domain.errors import DuplicateKey
from consignment.domain.partner import (
    Account,
    LineAdmission,
    Partner,
    PartnerDetails,
    PartnerStatus,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date

    from consignment.adapters.sqlalchemy.statements import Row

__all__ = ["PartnerRows", "PolicyRows"]

_POLICIES = tables.policies.c
_PARTNERS = tables.partners.c
_REGISTRATIONS = tables.registrations.c
_DECISIONS = tables.decisions.c

_ADD_POLICY = Statement(insert(tables.policies))
_POLICY = Statement(
    select(_POLICIES.content).where(_POLICIES.version == bindparam("version")), "version"
)
_POLICY_IN_FORCE = Statement(select(_POLICIES.content).order_by(_POLICIES.entry_id.desc()).limit(1))


class PolicyRows:
    """Admission policies."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, version: str | None = None) -> AdmissionPolicy | None:
        """Give a version, or the one in force."""
        if version is None:
            rows = self._session.rows(_POLICY_IN_FORCE)
        else:
            rows = self._session.rows(_POLICY, version)
        return AdmissionPolicy(**json_value(rows[0][0])) if rows else None

    def add(self, policy: AdmissionPolicy, at: datetime) -> None:
        """Add a version and put it in force."""
        content = {
            "version": policy.version,
            "history_window_days": policy.history_window_days,
            "validity_days": policy.validity_days,
            "evidence_max_age_days": policy.evidence_max_age_days,
            "minimums": _scores(policy.minimums),
            "overlays": {line: _scores(each) for line, each in policy.overlays.items()},
        }
        row = policy.version, new_entry_id(), micros(at), json_text(content)
        self._session.add(_ADD_POLICY, [row])


def _scores(minimums: Any) -> dict[str, str]:  # noqa: ANN401 - scores by criterion
    return {criterion.value: format(score, "f") for criterion, score in minimums.items()}


_ADD_REGISTRATION = Statement(insert(tables.registrations))
_ADD_PARTNER = Statement(insert(tables.partners))
_GET_PARTNERS = Statement(
    select(tables.partners)
    .where(_PARTNERS.partner_id.in_(bindparam(KEYS, expanding=True)))
    .order_by(_PARTNERS.partner_id)
)
_LIST_PARTNERS = Statement(
    select(tables.partners)
    .where(_PARTNERS.partner_id > bindparam("after"))
    .order_by(_PARTNERS.partner_id)
    .limit(bindparam("limit")),
    "after",
    "limit",
)
_LIST_FOR_REVIEW = Statement(
    select(tables.partners)
    .where(
        _PARTNERS.review_on <= bindparam("until"),
        one_of(_PARTNERS.status, (PartnerStatus.ADMITTED, PartnerStatus.SUSPENDED)),
        _PARTNERS.partner_id > bindparam("after"),
    )
    .order_by(_PARTNERS.partner_id)
    .limit(bindparam("limit")),
    "until",
    "after",
    "limit",
)
_SAVE_PARTNER = Statement(
    update(tables.partners)
    .values(
        name=bindparam("name_"),
        account_holder=bindparam("holder_"),
        account_number=bindparam("number_"),
        account_bank=bindparam("bank_"),
        account_currency=bindparam("currency_"),
        status=bindparam("status_"),
        admissions=bindparam("admissions_"),
        exited_for_cause=bindparam("exited_for_cause_"),
        review_on=bindparam("review_on_"),
        revision=_PARTNERS.revision + 1,
    )
    .where(
        _PARTNERS.partner_id == bindparam("id_"),
        _PARTNERS.revision == bindparam("read_"),
        _PARTNERS.registration_number == bindparam("registration_number_"),
    ),
    "name_",
    "holder_",
    "number_",
    "bank_",
    "currency_",
    "status_",
    "admissions_",
    "exited_for_cause_",
    "review_on_",
    "id_",
    "read_",
    "registration_number_",
)
_REGISTERED_AS = Statement(
    select(_REGISTRATIONS.partner_id).where(
        _REGISTRATIONS.registration_number == bindparam("number")
    ),
    "number",
)
_ADD_DECISION = Statement(insert(tables.decisions))
_GET_DECISIONS = Statement(
    select(_DECISIONS.content)
    .where(_DECISIONS.request_id == bindparam("request_id"))
    .order_by(_DECISIONS.sequence),
    "request_id",
)
_HAS_DECISION = Statement(
    select(_DECISIONS.partner_id).where(
        _DECISIONS.request_id == bindparam("request_id"),
        _DECISIONS.sequence == bindparam("sequence"),
    ),
    "request_id",
    "sequence",
)


class PartnerRows:
    """Partners and decisions."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, partner_ids: Collection[str], *, to_change: bool = False) -> dict[str, Partner]:
        """Give those that exist, by id."""
        # Who is going to change one locks it so from the start: of two that had it locked to keep
        # it and then wanted to change it, each would wait for the other.
        lock = Lock.CHANGE if to_change else Lock.KEEP
        rows = self._session.rows_by(_GET_PARTNERS, sorted(partner_ids), lock=lock)
        return {row[0]: _partner(row) for row in rows}

    def registered_as(self, registration_number: str) -> str | None:
        """Give the id of the partner with a registration number."""
        rows = self._session.rows(_REGISTERED_AS, registration_number)
        return rows[0][0] if rows else None

    def list(
        self, *, review_until: date | None = None, after: str = "", limit: int = 1000
    ) -> Sequence[Partner]:
        """Give partners by rising id, after an id; with `review_until`, those due by that day."""
        if review_until is None:
            rows = self._session.rows(_LIST_PARTNERS, after, limit)
        else:
            rows = self._session.rows(_LIST_FOR_REVIEW, review_until.isoformat(), after, limit)
        return [_partner(row) for row in rows]

    def add(self, partner: Partner) -> None:
        """Add a partner."""
        details = partner.details
        registration = details.registration_number, partner.partner_id
        self._session.add(_ADD_REGISTRATION, [registration])
        name, holder, number, bank, currency, *standing = _changeable(partner)
        row = (
            partner.partner_id,
            name,
            details.registration_number,
            holder,
            number,
            bank,
            currency,
            *standing,
            partner.revision,
        )
        self._session.add(_ADD_PARTNER, [row])

    def save(self, partner: Partner) -> None:
        """Store a changed partner."""
        details = partner.details
        self._session.touch(PASS_GATES, [partner_gate(partner.partner_id)])
        row = (
            *_changeable(partner),
            partner.partner_id,
            partner.revision,
            details.registration_number,
        )
        self._session.change(_SAVE_PARTNER, [row], f"partner {partner.partner_id}")

    def decisions(self, request_id: str) -> Sequence[AdmissionDecision]:
        """Give the decisions on a request, oldest first."""
        return [
            _decision(json_value(row[0])) for row in self._session.rows(_GET_DECISIONS, request_id)
        ]

    def add_decision(self, decision: AdmissionDecision) -> None:
        """Keep a decision."""
        request = decision.request
        # The key has the partner in it, and a request's id is the bank's.
        if self._session.rows(_HAS_DECISION, request.request_id, decision.sequence):
            raise DuplicateKey(f"decision {decision.sequence} on request {request.request_id}")
        row = (
            request.request_id,
            decision.sequence,
            request.partner.partner_id,
            decision.decision.value,
            micros(decision.decided_at),
            json_text(_decision_content(decision)),
        )
        self._session.add(_ADD_DECISION, [row])


def _changeable(partner: Partner) -> Row:
    details = partner.details
    account = details.account
    review_on = partner.review_on
    return (
        details.name,
        account.holder,
        account.number,
        account.bank,
        account.currency,
        partner.status.value,
        json_text(
            [
                [
                    each.business_line,
                    each.valid_until.isoformat(),
                    each.policy_version,
                    each.request_id,
                ]
                for each in partner.admissions
            ]
        ),
        partner.exited_for_cause,
        None if review_on is None else review_on.isoformat(),
    )


def _partner(row: Row) -> Partner:
    partner_id, name, number, holder, account, bank, currency, status, admissions, cause, _, rev = (
        row
    )
    return Partner(
        PartnerDetails(partner_id, name, number, Account(holder, account, bank, currency)),
        PartnerStatus(status),
        tuple(
            LineAdmission(line, day(until), version, request_id)
            for line, until, version, request_id in json_value(admissions)
        ),
        bool(cause),
        rev,
    )


def _decision_content(decision: AdmissionDecision) -> dict[str, Any]:
    request = decision.request
    details = request.partner
    account = details.account
    asked_at = request.requested_at
    return {
        "request": {
            "request_id": request.request_id,
            "actor": request.actor,
            "partner": [
                details.partner_id,
                details.name,
                details.registration_number,
                [account.holder, account.number, account.bank, account.currency],
            ],
            "business_lines": request.business_lines,
            "assessments": [
                [
                    each.criterion.value,
                    format(each.score, "f"),
                    each.evidence,
                    each.assessed_on.isoformat(),
                ]
                for each in request.assessments
            ],
            "requested_at": None if asked_at is None else asked_at.isoformat(),
        },
        "decision": decision.decision.value,
        "policy_version": decision.policy_version,
        "decided_at": micros(decision.decided_at),
        "basis": None if decision.basis is None else decision.basis.value,
        "valid_until": None if decision.valid_until is None else decision.valid_until.isoformat(),
        "reasons": reasons_content(decision.reasons),
        "last_cooperation_at": optional_micros(decision.last_cooperation_at),
        "sequence": decision.sequence,
        "digest": decision.digest,
    }


def _decision(content: dict[str, Any]) -> AdmissionDecision:
    request = content["request"]
    partner_id, name, number, account = request["partner"]
    asked_at = request["requested_at"]
    basis = content["basis"]
    return AdmissionDecision(
        AdmissionRequest(
            request["request_id"],
            request["actor"],
            PartnerDetails(partner_id, name, number, Account(*account)),
            tuple(request["business_lines"]),
            tuple(
                Assessment(Criterion(criterion), Decimal(score), evidence, day(on))
                for criterion, score, evidence, on in request["assessments"]
            ),
            None if asked_at is None else datetime.fromisoformat(asked_at),
        ),
        Decision(content["decision"]),
        content["policy_version"],
        instant(content["decided_at"]),
        None if basis is None else Basis(basis),
        optional_day(content["valid_until"]),
        reasons_of(content["reasons"]),
        optional_instant(content["last_cooperation_at"]),
        content["sequence"],
        content["digest"],
    )
