"""Admission (客户信息准入): who may sell for us.

Request, assess, suspend, reinstate, exit; who is due for review.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from consignment.domain.admission import (
    AdmissionDecision,
    AdmissionPolicy,
    AdmissionRequest,
    Assessment,
    Decision,
    decide,
)
from consignment.domain.errors import Conflict, NotFound, Refused, reason
from consignment.domain.journal import Fact, FactKind
from consignment.domain.message import BANK
from consignment.domain.partner import Partner
from consignment.domain.settings import Settings
from consignment.domain.text import check_text
from consignment.ports.clock import Clock
from consignment.ports.cooperation_history import CooperationHistory
from consignment.ports.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from consignment.ports.storage import Transaction

__all__ = ["Admission"]


@frozen
class Admission:
    """The use cases of admission, over a storage, a clock and the bank's own history."""

    _storage: Storage
    _clock: Clock
    _history: CooperationHistory
    _settings: Settings

    def set_policy(self, policy: AdmissionPolicy, *, actor: str | None = None) -> AdmissionPolicy:
        """Store a policy version and put it in force.

        The same version with the same content again changes nothing. Raises `Conflict`
        (`policy_conflict`) when the version is there with other content: versions are immutable.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> AdmissionPolicy:
            known = tx.policies.get(policy.version)
            if known is not None:
                if known.content() != policy.content():
                    raise Conflict(reason("policy_conflict", version=policy.version))
                return known
            tx.policies.add(policy, now)
            data = {"version": policy.version}
            tx.journal.append([Fact(FactKind.POLICY_SET, now, BANK, actor=actor, data=data)])
            return policy

        return self._storage.write(work)

    def policy(self) -> AdmissionPolicy | None:
        """Give the policy in force, None before the first."""
        return self._storage.read(lambda tx: tx.policies.get())

    def request(self, request: AdmissionRequest) -> AdmissionDecision:
        """Decide on an admission request and keep the decision.

        The same request again gives the decision that stands. A rejection is an answer, not an
        error. Raises `Refused` (`policy_missing`) and `Conflict`: `admission_conflict` (the
        request id was used with other content), `partner_conflict` (the partner id stands for
        another registration number), `registration_number_taken` (by another partner id).
        """
        now = self._clock.now()
        known_elsewhere = self._history.last_cooperation(request.partner, now)

        def work(tx: Transaction) -> AdmissionDecision:
            earlier = tx.partners.decisions(request.request_id)
            if earlier:
                if earlier[0].digest != request.digest():
                    raise Conflict(reason("admission_conflict", request_id=request.request_id))
                return earlier[-1]
            return self._decide(tx, request, known_elsewhere, now, sequence=1)

        return self._storage.write(work, partner_id=request.partner.partner_id)

    def assess(
        self, request_id: str, assessments: Iterable[Assessment], *, actor: str
    ) -> AdmissionDecision:
        """Submit the assessments that a pending request waits for, and decide on it.

        The same assessments again give the decision that stands. Raises `NotFound`
        (`request_unknown`) and `Conflict` (`request_decided`, with the decision).
        """
        check_text(actor, "actor", 100)
        submitted = tuple(assessments)
        now = self._clock.now()
        found = self._storage.read(lambda tx: tx.partners.decisions(request_id))
        if not found:
            raise NotFound(reason("request_unknown", request_id=request_id[:80]))
        details = found[0].request.partner
        known_elsewhere = self._history.last_cooperation(details, now)

        def work(tx: Transaction) -> AdmissionDecision:
            last = tx.partners.decisions(request_id)[-1]
            request = evolve(last.request, assessments=submitted, actor=actor)
            if last.decision is not Decision.PENDING or not submitted:
                if last.request == request:
                    return last
                raise Conflict(
                    reason("request_decided", request_id=request_id, decision=last.decision.value)
                )
            return self._decide(tx, request, known_elsewhere, now, sequence=last.sequence + 1)

        return self._storage.write(work, partner_id=details.partner_id)

    def _decide(
        self,
        tx: Transaction,
        request: AdmissionRequest,
        known_elsewhere: datetime | None,
        now: datetime,
        *,
        sequence: int,
    ) -> AdmissionDecision:
        policy = tx.policies.get()
        if policy is None:
            raise Refused(reason("policy_missing"))
        details = request.partner
        partner = self._partner_of(tx, request)
        accepted = tx.orders.last_accepted_at(details.partner_id, now) if partner else None
        seen = [at for at in (known_elsewhere, accepted) if at is not None and at <= now]
        decision = decide(
            request,
            policy,
            partner,
            max(seen, default=None),
            now=now,
            today=self._settings.day_of(now),
            sequence=sequence,
        )
        if partner is None:
            partner = Partner(details)
            tx.partners.add(partner)
        if decision.line_admissions:
            tx.partners.save(partner.admitted(details, decision.line_admissions))
        tx.partners.add_decision(decision)
        tx.journal.append([_decided(decision)])
        return decision

    def _partner_of(self, tx: Transaction, request: AdmissionRequest) -> Partner | None:
        details = request.partner
        partner_id = details.partner_id
        # The partner first: whoever adds one adds its number too, so if it is there, so is that.
        partner = tx.partners.get([partner_id], to_change=True).get(partner_id)
        owner = tx.partners.registered_as(details.registration_number)
        if owner is not None and owner != details.partner_id:
            raise Conflict(
                reason(
                    "registration_number_taken",
                    registration_number=details.registration_number,
                    partner_id=owner,
                )
            )
        if partner is not None and owner is None:
            raise Conflict(
                reason(
                    "partner_conflict",
                    partner_id=partner_id,
                    registration_number=partner.details.registration_number,
                )
            )
        return partner

    def decisions(self, request_id: str) -> Sequence[AdmissionDecision]:
        """Give the decisions on a request, oldest first."""
        return self._storage.read(lambda tx: tx.partners.decisions(request_id))

    def suspend(self, partner_id: str, *, why: str, actor: str) -> Partner:
        """Suspend an admitted partner: nothing new is ordered; running orders carry on.

        Raises `NotFound` (`partner_unknown`) and `IllegalTransition` (`partner_status`).
        """
        return self._move(
            partner_id, Partner.suspended, FactKind.PARTNER_SUSPENDED, why=why, actor=actor
        )

    def reinstate(self, partner_id: str, *, why: str, actor: str) -> Partner:
        """Admit a suspended partner again, as it was admitted before. Raises as `suspend`."""
        return self._move(
            partner_id, Partner.reinstated, FactKind.PARTNER_REINSTATED, why=why, actor=actor
        )

    def exit(self, partner_id: str, *, why: str, actor: str, for_cause: bool = True) -> Partner:
        """End the work with a partner; what is on sale is still reported and settled.

        A partner that was exited for cause is refused from then on; one that left without cause
        may apply again. Raises as `suspend`.
        """
        return self._move(
            partner_id,
            lambda partner: partner.exited(for_cause=for_cause),
            FactKind.PARTNER_EXITED,
            why=why,
            actor=actor,
            for_cause=for_cause,
        )

    def _move(
        self,
        partner_id: str,
        move: Callable[[Partner], Partner],
        kind: FactKind,
        *,
        why: str,
        actor: str,
        **data: object,
    ) -> Partner:
        check_text(why, "reason", 500)
        check_text(actor, "actor", 100)
        now = self._clock.now()

        def work(tx: Transaction) -> Partner:
            partner = _partner(tx, partner_id, to_change=True)
            moved = move(partner)
            tx.partners.save(moved)
            figures = {"reason": why, **data}
            tx.journal.append([Fact(kind, now, partner_id, actor=actor, data=figures)])
            return evolve(moved, revision=partner.revision + 1)

        return self._storage.write(work, partner_id=partner_id)

    def partner(self, partner_id: str) -> Partner:
        """Give a partner, else raise `NotFound` (`partner_unknown`)."""
        return self._storage.read(lambda tx: _partner(tx, partner_id))

    def partners(self, *, after: str = "", limit: int = 1000) -> Sequence[Partner]:
        """List partners by rising id, after an id."""
        return self._storage.read(lambda tx: tx.partners.list(after=after, limit=limit))

    def due_for_review(self, *, after: str = "", limit: int = 1000) -> Sequence[Partner]:
        """List partners whose admission has ended or ends within the notice of the settings."""
        today = self._settings.day_of(self._clock.now())
        until = today + timedelta(days=self._settings.review_notice_days)
        return self._storage.read(
            lambda tx: tx.partners.list(review_until=until, after=after, limit=limit)
        )


def _partner(tx: Transaction, partner_id: str, *, to_change: bool = False) -> Partner:
    partner = tx.partners.get([partner_id], to_change=to_change).get(partner_id)
    if partner is None:
        raise NotFound(reason("partner_unknown", partner_id=partner_id[:80]))
    return partner


def _decided(decision: AdmissionDecision) -> Fact:
    request = decision.request
    data = {
        "request_id": request.request_id,
        "sequence": decision.sequence,
        "decision": decision.decision.value,
        "basis": None if decision.basis is None else decision.basis.value,
        "policy_version": decision.policy_version,
        "valid_until": (None if decision.valid_until is None else decision.valid_until.isoformat()),
        "business_lines": list(request.business_lines),
        "reasons": [each.as_dict() for each in decision.reasons],
    }
    return Fact(
        FactKind.ADMISSION_DECIDED,
        decision.decided_at,
        request.partner.partner_id,
        actor=request.actor,
        data=data,
    )
