from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from consignment.domain.admission import Basis, Criterion, Decision
from consignment.domain.errors import Conflict, IllegalTransition, InvalidValue, NotFound, Refused
from consignment.domain.journal import FactKind
from consignment.domain.partner import PartnerStatus
from consignment.domain.settings import Settings
from consignment.testing import builders
from tests.capabilities.banks import FARM, Bank, reasons_of, row

if TYPE_CHECKING:
    from consignment.domain.admission import AdmissionDecision


def codes(decision: AdmissionDecision) -> list[str]:
    """Give the codes of a decision's reasons."""
    return [each.code for each in decision.reasons]


# The policy.


def test_a_policy_version_is_stored_once(bank: Bank) -> None:
    """The same version with the same content changes nothing."""
    before = bank.kinds()
    assert bank.desk.admission.set_policy(builders.a_policy()) == builders.a_policy()
    assert bank.kinds() == before == [FactKind.POLICY_SET]


def test_a_policy_version_does_not_change(bank: Bank) -> None:
    """The same version with other content is a conflict, and the first stays in force."""
    with pytest.raises(Conflict) as refused:
        bank.desk.admission.set_policy(builders.a_policy(minimum="61"))
    assert reasons_of(refused.value) == [{"code": "policy_conflict", "version": "2026-1"}]
    assert bank.desk.admission.policy() == builders.a_policy()


def test_the_policy_added_last_is_in_force(bank: Bank) -> None:
    """A decision names the version by which it was made."""
    bank.desk.admission.set_policy(builders.a_policy("2026-2", minimum="95"))
    decision = bank.desk.admission.request(builders.an_admission_request())
    assert decision.decision is Decision.REJECTED
    assert decision.policy_version == "2026-2"


def test_without_a_policy_nothing_is_decided() -> None:
    """A request before the first policy is refused, and nothing of it is kept."""
    bank = Bank(policy=False)
    assert bank.desk.admission.policy() is None
    with pytest.raises(Refused) as refused:
        bank.desk.admission.request(builders.an_admission_request())
    assert refused.value.codes == ("policy_missing",)
    assert not bank.desk.admission.partners()
    assert not bank.kinds()


# Requests.


def test_five_good_assessments_admit(bank: Bank) -> None:
    """Without history the five criteria decide; the admission holds for the policy's validity."""
    decision = bank.desk.admission.request(builders.an_admission_request())
    assert decision.decision is Decision.ADMITTED
    assert decision.basis is Basis.QUALIFICATION_REVIEW
    assert decision.valid_until == builders.TODAY + timedelta(days=365)
    (partner,) = bank.desk.admission.partners()
    assert partner.status is PartnerStatus.ADMITTED
    assert [each.business_line for each in partner.admissions] == ["retail"]
    assert bank.kinds() == [FactKind.POLICY_SET, FactKind.ADMISSION_DECIDED]


def test_every_failing_criterion_is_named(bank: Bank) -> None:
    """There is no averaging: one reason per fault, each with its figures."""
    bank.desk.admission.set_policy(
        builders.a_policy("2026-2", overlays={"retail": {"contract_credit": "95"}})
    )
    scores = {Criterion.SALES_CAPABILITY: "59.9"}
    given = list(builders.assessments(scores=scores))
    given[1] = evolve(given[1], evidence=" ")
    given[2] = evolve(given[2], assessed_on=date(2026, 3, 4))
    given[3] = evolve(given[3], assessed_on=date(2026, 9, 2))
    decision = bank.desk.admission.request(builders.an_admission_request(assessments=tuple(given)))
    assert decision.decision is Decision.REJECTED
    assert [each.as_dict() for each in decision.reasons] == [
        {
            "code": "criterion_below_minimum",
            "criterion": "sales_capability",
            "score": "59.9",
            "minimum": "60",
        },
        {"code": "evidence_missing", "criterion": "management_capability"},
        {
            "code": "evidence_expired",
            "criterion": "production_capability",
            "assessed_on": "2026-03-04",
            "oldest": "2026-03-05",
        },
        {
            "code": "evidence_in_future",
            "criterion": "product_quality",
            "assessed_on": "2026-09-02",
            "today": "2026-09-01",
        },
        {
            "code": "criterion_below_minimum",
            "criterion": "contract_credit",
            "score": "90",
            "minimum": "95",
        },
    ]
    assert bank.desk.admission.partners()[0].status is PartnerStatus.APPLIED


def test_a_missing_criterion_is_named(bank: Bank) -> None:
    """Four assessments are not five."""
    given = builders.assessments()[:4]
    decision = bank.desk.admission.request(builders.an_admission_request(assessments=given))
    assert [each.as_dict() for each in decision.reasons] == [
        {"code": "evidence_missing", "criterion": "contract_credit"}
    ]


@pytest.mark.parametrize(
    ("ago", "decision"),
    [
        (timedelta(), Decision.ADMITTED),
        (timedelta(days=730), Decision.ADMITTED),
        (timedelta(days=730, seconds=1), Decision.PENDING),
    ],
)
def test_history_in_the_window_admits(bank: Bank, ago: timedelta, decision: Decision) -> None:
    """Cooperation inside the window admits without assessments; both its ends count."""
    bank.history.add(FARM, builders.NOW - ago)
    answer = bank.desk.admission.request(builders.an_admission_request(assessments=()))
    assert answer.decision is decision
    if decision is Decision.ADMITTED:
        assert answer.basis is Basis.PRIOR_COOPERATION
        assert answer.last_cooperation_at == builders.NOW - ago


def test_an_order_accepted_here_is_history(shop: Bank) -> None:
    """A partner that accepted an order is admitted to another line without assessments."""
    shop.place()
    shop.take(builders.accepted(at=builders.NOW))
    request = builders.an_admission_request("ADM-2", lines=("corporate",), assessments=())
    answer = shop.desk.admission.request(request)
    assert answer.basis is Basis.PRIOR_COOPERATION
    (partner,) = shop.desk.admission.partners()
    assert [each.business_line for each in partner.admissions] == ["corporate", "retail"]


def test_the_same_request_gets_the_same_answer(bank: Bank) -> None:
    """A repeat has no second effect, whatever happened in between."""
    request = builders.an_admission_request()
    first = bank.desk.admission.request(request)
    bank.later(days=100)
    facts = bank.kinds()
    assert bank.desk.admission.request(request) == first
    assert bank.kinds() == facts
    assert bank.desk.admission.decisions("ADM-1") == [first]


def test_a_request_id_stands_for_one_content(bank: Bank) -> None:
    """The same id with other content is a conflict."""
    bank.desk.admission.request(builders.an_admission_request())
    with pytest.raises(Conflict) as refused:
        bank.desk.admission.request(builders.an_admission_request(lines=("corporate",)))
    assert reasons_of(refused.value) == [{"code": "admission_conflict", "request_id": "ADM-1"}]


def test_a_registration_number_belongs_to_one_partner(bank: Bank) -> None:
    """Another partner id with a number that is taken is refused, and not kept."""
    bank.admit()
    taken = builders.a_registration_number(FARM)
    details = builders.details("other-farm", registration_number=taken)
    with pytest.raises(Conflict) as refused:
        bank.desk.admission.request(builders.an_admission_request("ADM-2", partner=details))
    assert reasons_of(refused.value) == [
        {
            "code": "registration_number_taken",
            "registration_number": taken,
            "partner_id": FARM,
        }
    ]
    assert not bank.desk.admission.decisions("ADM-2")


def test_a_partner_id_stands_for_one_registration_number(bank: Bank) -> None:
    """A known partner id with another registration number is refused."""
    bank.admit()
    details = builders.details(registration_number=builders.a_registration_number("other"))
    with pytest.raises(Conflict) as refused:
        bank.desk.admission.request(builders.an_admission_request("ADM-2", partner=details))
    assert reasons_of(refused.value) == [
        {
            "code": "partner_conflict",
            "partner_id": FARM,
            "registration_number": builders.a_registration_number(FARM),
        }
    ]


# Pending requests.


def pending(bank: Bank) -> AdmissionDecision:
    """Ask for admission without assessments."""
    return bank.desk.admission.request(builders.an_admission_request(assessments=()))


def test_without_history_and_assessments_it_is_pending(bank: Bank) -> None:
    """The answer names what is needed, with the minimums of the lines asked for."""
    decision = pending(bank)
    assert decision.decision is Decision.PENDING
    assert [each.as_dict() for each in decision.reasons] == [
        {"code": "assessment_needed", "criterion": each.value, "minimum": "60"}
        for each in Criterion
    ]
    assert bank.desk.admission.partners()[0].status is PartnerStatus.APPLIED


def test_assessments_can_be_submitted_later(bank: Bank) -> None:
    """They decide the request; both decisions are kept, and a repeat of either changes nothing."""
    first = pending(bank)
    bank.later(days=3)
    second = bank.desk.admission.assess("ADM-1", builders.assessments(), actor="officer:li")
    assert second.decision is Decision.ADMITTED
    assert (second.sequence, second.request.actor) == (2, "officer:li")
    assert bank.desk.admission.decisions("ADM-1") == [first, second]
    again = bank.desk.admission.assess("ADM-1", iter(builders.assessments()), actor="officer:li")
    assert again == second
    assert bank.desk.admission.request(builders.an_admission_request(assessments=())) == second
    assert bank.kinds()[1:] == [FactKind.ADMISSION_DECIDED] * 2


def test_a_decided_request_is_not_assessed_again(bank: Bank) -> None:
    """Other assessments for a decided request are a conflict, with the decision."""
    bank.admit()
    with pytest.raises(Conflict) as refused:
        bank.desk.admission.assess(f"ADM-{FARM}", builders.assessments("95"), actor="officer:wang")
    assert reasons_of(refused.value) == [
        {"code": "request_decided", "request_id": f"ADM-{FARM}", "decision": "admitted"}
    ]


def test_no_assessments_decide_nothing(bank: Bank) -> None:
    """Submitting nothing leaves a pending request pending."""
    first = pending(bank)
    again = bank.desk.admission.assess("ADM-1", (), actor="officer:wang")
    assert again == first
    assert bank.desk.admission.decisions("ADM-1") == [first]


def test_an_unknown_request_is_not_assessed(bank: Bank) -> None:
    """There is nothing to assess under an id that was never used."""
    with pytest.raises(NotFound) as refused:
        bank.desk.admission.assess("ADM-9", builders.assessments(), actor="officer:wang")
    assert reasons_of(refused.value) == [{"code": "request_unknown", "request_id": "ADM-9"}]


def test_history_that_arrives_decides_a_pending_request(bank: Bank) -> None:
    """When assessments are submitted, cooperation that is known by now comes first."""
    pending(bank)
    bank.history.add(FARM, builders.NOW)
    decision = bank.desk.admission.assess("ADM-1", builders.assessments("10"), actor="officer:li")
    assert decision.basis is Basis.PRIOR_COOPERATION


# Suspend, reinstate, exit.


def test_a_suspended_partner_is_refused_whatever_its_history(bank: Bank) -> None:
    """The request of a suspended partner is rejected, and its products are not imported."""
    bank.admit()
    bank.history.add(FARM, builders.NOW)
    partner = bank.desk.admission.suspend(FARM, why="检查", actor="officer:li")
    assert partner.status is PartnerStatus.SUSPENDED
    decision = bank.desk.admission.request(builders.an_admission_request("ADM-2"))
    assert (decision.decision, codes(decision)) == (Decision.REJECTED, ["partner_suspended"])
    with pytest.raises(Refused) as refused:
        bank.desk.catalogue.import_products(FARM, [row()])
    assert reasons_of(refused.value) == [
        {"code": "partner_not_admitted", "partner_id": FARM, "status": "suspended"}
    ]


def test_a_suspended_partner_is_reinstated_as_it_was(bank: Bank) -> None:
    """Reinstated, it has the admissions that it had."""
    bank.admit()
    (before,) = bank.desk.admission.partners()
    bank.desk.admission.suspend(FARM, why="检查", actor="officer:li")
    after = bank.desk.admission.reinstate(FARM, why="没事", actor="officer:li")
    assert (after.status, after.admissions) == (PartnerStatus.ADMITTED, before.admissions)
    assert bank.desk.admission.partners() == [after]
    assert [fact.data for fact in bank.desk.audit.facts()][-2:] == [
        {"reason": "检查"},
        {"reason": "没事"},
    ]


def test_a_partner_exited_for_cause_stays_out(bank: Bank) -> None:
    """It is refused from then on."""
    bank.admit()
    partner = bank.desk.admission.exit(FARM, why="欺诈", actor="officer:li")
    assert partner.status is PartnerStatus.EXITED
    decision = bank.desk.admission.request(builders.an_admission_request("ADM-2"))
    assert (decision.decision, codes(decision)) == (Decision.REJECTED, ["partner_exited"])


def test_a_partner_that_left_may_come_back(bank: Bank) -> None:
    """One that exited without cause applies like any other."""
    bank.admit()
    bank.desk.admission.exit(FARM, why="停业", actor="officer:li", for_cause=False)
    decision = bank.desk.admission.request(builders.an_admission_request("ADM-2"))
    assert decision.decision is Decision.ADMITTED
    (partner,) = bank.desk.admission.partners()
    assert (partner.status, partner.exited_for_cause) == (PartnerStatus.ADMITTED, False)


def test_a_move_needs_the_right_status(bank: Bank) -> None:
    """What cannot happen to a partner in its status is refused, and changes nothing."""
    bank.admit()
    (before,) = bank.desk.admission.partners()
    with pytest.raises(IllegalTransition) as refused:
        bank.desk.admission.reinstate(FARM, why="没事", actor="officer:li")
    assert reasons_of(refused.value) == [
        {
            "code": "partner_status",
            "partner_id": FARM,
            "status": "admitted",
            "wanted": "admitted",
        }
    ]
    bank.desk.admission.exit(FARM, why="停业", actor="officer:li")
    with pytest.raises(IllegalTransition):
        bank.desk.admission.exit(FARM, why="停业", actor="officer:li")
    with pytest.raises(IllegalTransition):
        bank.desk.admission.suspend(FARM, why="检查", actor="officer:li")
    assert before.revision + 1 == bank.desk.admission.partners()[0].revision


def test_only_a_known_partner_is_moved(bank: Bank) -> None:
    """An unknown partner id is refused."""
    with pytest.raises(NotFound) as refused:
        bank.desk.admission.suspend("nobody", why="检查", actor="officer:li")
    assert reasons_of(refused.value) == [{"code": "partner_unknown", "partner_id": "nobody"}]


@pytest.mark.parametrize(("why", "actor"), [("", "officer:li"), ("检查", " ")])
def test_a_move_needs_a_reason_and_an_actor(bank: Bank, why: str, actor: str) -> None:
    """Neither may be blank."""
    bank.admit()
    with pytest.raises(InvalidValue) as refused:
        bank.desk.admission.suspend(FARM, why=why, actor=actor)
    assert refused.value.codes == ("text_missing",)


# Review.


def test_partners_due_for_review_are_listed() -> None:
    """Those whose admission has ended or ends within the notice, the last day included."""
    bank = Bank(Settings(review_notice_days=30))
    bank.admit("early-farm")
    bank.later(days=10)
    bank.admit("late-farm")
    bank.admit("left-farm")
    bank.desk.admission.exit("left-farm", why="停业", actor="officer:li")

    def due() -> list[str]:
        return [each.partner_id for each in bank.desk.admission.due_for_review()]

    bank.later(days=365 - 10 - 31)
    assert due() == []
    bank.later(days=1)
    assert due() == ["early-farm"]
    bank.later(days=10)
    assert due() == ["early-farm", "late-farm"]
    after = bank.desk.admission.due_for_review(after="early-farm", limit=1)
    assert [each.partner_id for each in after] == ["late-farm"]


def test_partners_are_listed_by_pages(bank: Bank) -> None:
    """By rising id, after an id."""
    for partner_id in ("c", "a", "b"):
        bank.admit(partner_id)
    first = bank.desk.admission.partners(limit=2)
    assert [each.partner_id for each in first] == ["a", "b"]
    assert [each.partner_id for each in bank.desk.admission.partners(after="b")] == ["c"]
