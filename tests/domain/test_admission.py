"""Who is admitted, and why not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from consignment.domain.admission import (
    AdmissionDecision,
    AdmissionPolicy,
    AdmissionRequest,
    Assessment,
    Basis,
    Criterion,
    Decision,
    decide,
)
from consignment.domain.errors import IllegalTransition, InvalidValue
from consignment.domain.partner import LineAdmission, Partner, PartnerStatus, not_admitted
from consignment.testing.builders import (
    NOW,
    TODAY,
    a_partner,
    a_policy,
    an_admission_request,
    assessments,
    details,
)

_TICK = timedelta(microseconds=1)
_WINDOW = timedelta(days=730)


def _decide(
    request: AdmissionRequest | None = None,
    *,
    policy: AdmissionPolicy | None = None,
    partner: Partner | None = None,
    last: datetime | None = None,
) -> AdmissionDecision:
    return decide(
        request or an_admission_request(),
        policy or a_policy(),
        partner,
        last,
        now=NOW,
        today=TODAY,
        sequence=3,
    )


def _codes(decision: AdmissionDecision) -> list[str]:
    return [each.code for each in decision.reasons]


# By history.


@pytest.mark.parametrize("last", [NOW, NOW - _TICK, NOW - _WINDOW, NOW - _WINDOW + _TICK])
def test_cooperation_within_the_window_admits(last: datetime) -> None:
    """Both ends of the history window are included; assessments are not looked at."""
    decision = _decide(an_admission_request(assessments=assessments("0")), last=last)
    assert (decision.decision, decision.basis) == (Decision.ADMITTED, Basis.PRIOR_COOPERATION)
    assert decision.valid_until == TODAY + timedelta(days=365)
    assert decision.last_cooperation_at == last
    assert decision.line_admissions == (
        LineAdmission("retail", date(2027, 9, 1), "2026-1", "ADM-1"),
    )
    assert (decision.sequence, decision.decided_at, decision.policy_version) == (3, NOW, "2026-1")
    assert decision.digest == an_admission_request(assessments=assessments("0")).digest()


@pytest.mark.parametrize("last", [NOW + _TICK, NOW - _WINDOW - _TICK, None])
def test_cooperation_outside_the_window_admits_nobody(last: datetime | None) -> None:
    """Just outside the window, the assessments decide."""
    decision = _decide(an_admission_request(assessments=()), last=last)
    assert decision.decision is Decision.PENDING


# By standing.


def test_a_suspended_partner_is_refused_whatever_its_history() -> None:
    """Suspension comes before history and assessments."""
    decision = _decide(partner=a_partner(status=PartnerStatus.SUSPENDED), last=NOW)
    assert (decision.decision, decision.basis) == (Decision.REJECTED, None)
    assert _codes(decision) == ["partner_suspended"]
    assert decision.line_admissions == ()


def test_a_partner_that_was_exited_for_cause_is_refused() -> None:
    """Exit for cause is for good; another exit is not."""
    exited = a_partner(status=PartnerStatus.EXITED, exited_for_cause=True)
    assert _codes(_decide(partner=exited, last=NOW)) == ["partner_exited"]
    left = a_partner(status=PartnerStatus.EXITED)
    assert _decide(partner=left, last=NOW).decision is Decision.ADMITTED
    assert _decide(partner=a_partner(), last=NOW).decision is Decision.ADMITTED


# By assessments.


def test_without_history_and_assessments_it_is_pending() -> None:
    """The decision names each criterion and its tightest minimum."""
    policy = a_policy(overlays={"interbank": {"contract_credit": "85"}})
    request = an_admission_request(assessments=(), lines=("retail", "interbank"))
    decision = _decide(request, policy=policy)
    assert decision.decision is Decision.PENDING
    assert decision.valid_until is None
    assert [each.details for each in decision.reasons] == [
        {"criterion": "sales_capability", "minimum": "60"},
        {"criterion": "management_capability", "minimum": "60"},
        {"criterion": "production_capability", "minimum": "60"},
        {"criterion": "product_quality", "minimum": "60"},
        {"criterion": "contract_credit", "minimum": "85"},
    ]
    assert set(_codes(decision)) == {"assessment_needed"}


def test_five_met_criteria_admit() -> None:
    """Scores at the minimum meet it."""
    decision = _decide(an_admission_request(assessments=assessments("60")))
    assert (decision.decision, decision.basis) == (Decision.ADMITTED, Basis.QUALIFICATION_REVIEW)
    assert decision.reasons == ()


def test_one_low_score_is_not_averaged_away() -> None:
    """Four times 100 does not make up for a score a hair below."""
    scores = {Criterion.PRODUCT_QUALITY: "59.99"}
    decision = _decide(an_admission_request(assessments=assessments("100", scores=scores)))
    assert decision.decision is Decision.REJECTED
    (fault,) = decision.reasons
    assert fault.as_dict() == {
        "code": "criterion_below_minimum",
        "criterion": "product_quality",
        "score": "59.99",
        "minimum": "60",
    }


def test_every_failing_criterion_is_listed() -> None:
    """All reasons come at once, in the order of the criteria, several for one too."""
    oldest = TODAY - timedelta(days=180)
    request = an_admission_request(
        assessments=(
            Assessment("contract_credit", "10", " ", oldest - timedelta(days=1)),
            Assessment("sales_capability", "61", "doc", oldest),
            Assessment("product_quality", "61", "doc", TODAY + timedelta(days=1)),
            Assessment("management_capability", "0", "doc", TODAY),
        )
    )
    decision = _decide(request)
    assert [(each.code, each.details["criterion"]) for each in decision.reasons] == [
        ("criterion_below_minimum", "management_capability"),
        ("evidence_missing", "production_capability"),
        ("evidence_in_future", "product_quality"),
        ("criterion_below_minimum", "contract_credit"),
        ("evidence_missing", "contract_credit"),
        ("evidence_expired", "contract_credit"),
    ]
    assert decision.reasons[-1].details["oldest"] == oldest.isoformat()


@pytest.mark.parametrize(
    ("days", "decision"),
    [(180, Decision.ADMITTED), (181, Decision.REJECTED), (0, Decision.ADMITTED)],
)
def test_evidence_expires_after_its_age(days: int, decision: Decision) -> None:
    """Evidence of the last day of its age still counts."""
    given = assessments(assessed_on=TODAY - timedelta(days=days))
    assert _decide(an_admission_request(assessments=given)).decision is decision


def test_an_overlay_tightens_one_line() -> None:
    """A line's overlay counts where the line is asked for, also among others."""
    policy = a_policy(overlays={"interbank": {"contract_credit": "95"}})
    for lines, expected in (
        (("retail",), Decision.ADMITTED),
        (("interbank",), Decision.REJECTED),
        (("retail", "interbank"), Decision.REJECTED),
    ):
        request = an_admission_request(lines=lines)
        assert _decide(request, policy=policy).decision is expected


# Policies and requests that cannot be.


def test_a_policy_names_every_fault() -> None:
    """Missing minimums and loosening overlays are all named."""
    minimums = {"sales_capability": "60", "product_quality": "80"}
    with pytest.raises(InvalidValue) as caught:
        AdmissionPolicy(
            "1",
            1,
            1,
            1,
            minimums,
            {"retail": {"product_quality": "79.9", "sales_capability": "60"}},
        )
    assert [(each.code, each.details["criterion"]) for each in caught.value.reasons] == [
        ("minimum_missing", "management_capability"),
        ("minimum_missing", "production_capability"),
        ("minimum_missing", "contract_credit"),
        ("overlay_loosens", "product_quality"),
    ]
    assert caught.value.reasons[-1].details["overlay"] == "79.9"


def _policy_with(**windows: int) -> AdmissionPolicy:
    minimums = {each.value: "60" for each in Criterion}
    history, validity, age = (
        windows.get(name, 1)
        for name in ("history_window_days", "validity_days", "evidence_max_age_days")
    )
    return AdmissionPolicy("1", history, validity, age, minimums)


@pytest.mark.parametrize("days", [0, -1, 36526, 1.5, True, "7"])
def test_windows_are_whole_days(days: int) -> None:
    """Windows are one day to a century."""
    for name in ("history_window_days", "validity_days", "evidence_max_age_days"):
        with pytest.raises(InvalidValue) as caught:
            _policy_with(**{name: days})
        assert caught.value.reasons[0].details["field"] == name


@pytest.mark.parametrize("score", ["-1", "100.01", "x", 1.5])
def test_scores_are_0_to_100(score: str) -> None:
    """A score outside 0 to 100, or no decimal, is refused wherever it stands."""
    with pytest.raises(InvalidValue):
        Assessment("product_quality", score, "doc", TODAY)
    with pytest.raises(InvalidValue):
        a_policy(minimum=score)


def test_unknown_criteria_are_refused() -> None:
    """Criteria are the five; each other one is named."""
    with pytest.raises(InvalidValue) as caught:
        a_policy(overlays={"retail": {"charm": "1", "beauty": "2"}})
    assert [each.details["criterion"] for each in caught.value.reasons] == ["beauty", "charm"]
    with pytest.raises(InvalidValue):
        a_policy(version="")
    with pytest.raises(InvalidValue):
        a_policy(overlays={"re tail": {}})


def test_a_policys_content_is_plain() -> None:
    """The content that is compared is plain text and numbers."""
    policy = a_policy(overlays={"retail": {"product_quality": "80"}})
    version, *_, minimums, overlays = policy.content()
    assert version == "2026-1"
    assert minimums == {each.value: "60" for each in Criterion}
    assert overlays == {"retail": {"product_quality": "80"}}
    assert policy.minimum(Criterion.PRODUCT_QUALITY, ["retail", "x"]) == Decimal(80)


def test_a_request_names_every_fault() -> None:
    """No lines and repeated criteria are named together."""
    twice = (*assessments(), assessments()[0])
    with pytest.raises(InvalidValue) as caught:
        an_admission_request(lines=(), assessments=twice)
    assert caught.value.codes == ("business_lines_empty", "criterion_repeated")


@pytest.mark.parametrize(
    "changes",
    [
        {"request_id": "a b"},
        {"actor": ""},
        {"lines": ("a b",)},
        {"requested_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is what is refused
    ],
)
def test_requests_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    """Ids, the actor, lines and the instant are checked."""
    with pytest.raises(InvalidValue):
        an_admission_request(**changes)


def test_a_requests_digest_tells_contents_apart() -> None:
    """The same instant in another zone is the same content; anything else is other content."""
    instant = datetime(2026, 8, 20, 1, tzinfo=UTC)
    request = an_admission_request(requested_at=instant)
    elsewhere = datetime.fromisoformat("2026-08-20T09:00:00+08:00")
    assert an_admission_request(requested_at=elsewhere).digest() == request.digest()
    others = [
        an_admission_request(),
        an_admission_request("ADM-2", requested_at=instant),
        an_admission_request(lines=("corporate",), requested_at=instant),
        an_admission_request(actor="other", requested_at=instant),
        an_admission_request(partner=details(name="other"), requested_at=instant),
        an_admission_request(assessments=assessments("91"), requested_at=instant),
    ]
    assert request.digest() not in {each.digest() for each in others}


# Partners.


def test_admitting_keeps_other_lines() -> None:
    """A new admission replaces that of its line."""
    partner = a_partner(lines=("corporate", "retail"))
    admission = LineAdmission("retail", date(2030, 1, 1), "2026-2", "ADM-2")
    admitted = partner.admitted(details(name="新名"), [admission])
    assert admitted.status is PartnerStatus.ADMITTED
    assert admitted.admissions == (partner.admissions[0], admission)
    assert admitted.details.name == "新名"
    assert admitted.review_on == partner.admissions[0].valid_until
    assert a_partner(lines=()).review_on is None


def test_admission_after_an_exit_begins_anew() -> None:
    """What the partner was admitted to before it left does not come back with another line."""
    partner = a_partner(lines=("corporate", "retail")).exited(for_cause=False)
    admission = LineAdmission("retail", date(2030, 1, 1), "2026-2", "ADM-2")
    admitted = partner.admitted(partner.details, [admission])
    assert admitted.status is PartnerStatus.ADMITTED
    assert not admitted.exited_for_cause
    assert admitted.admissions == (admission,)
    (fault,) = admitted.ordering_faults("corporate", date(2026, 9, 1))
    assert fault.code == "line_not_admitted"


def test_partners_change_their_status_in_order() -> None:
    """Admitted ⇄ suspended → exited; anything else is refused with the status."""
    partner = a_partner()
    suspended = partner.suspended()
    assert suspended.status is PartnerStatus.SUSPENDED
    assert suspended.reinstated() == partner
    exited = suspended.exited(for_cause=True)
    assert (exited.status, exited.exited_for_cause) == (PartnerStatus.EXITED, True)
    for illegal in (
        suspended.suspended,
        partner.reinstated,
        exited.suspended,
        exited.reinstated,
        lambda: exited.exited(for_cause=False),
        a_partner(status=PartnerStatus.APPLIED).suspended,
    ):
        with pytest.raises(IllegalTransition) as caught:
            illegal()
        assert caught.value.codes == ("partner_status",)
    assert partner.exited(for_cause=False).standing_faults() == ()


def test_ordering_needs_a_current_admission_in_the_line() -> None:
    """No order outside an admission's days, its line, or the status admitted."""
    day = date(2027, 8, 31)
    partner = a_partner()
    assert partner.ordering_faults("retail", day) == ()
    assert partner.admitted_on(day)
    (expired,) = partner.ordering_faults("retail", day + timedelta(days=1))
    assert expired.as_dict() == {
        "code": "admission_expired",
        "partner_id": "green-farm",
        "business_line": "retail",
        "valid_until": "2027-08-31",
    }
    assert not partner.admitted_on(day + timedelta(days=1))
    (other,) = partner.ordering_faults("corporate", day)
    assert other.code == "line_not_admitted"
    (status,) = partner.suspended().ordering_faults("retail", day)
    assert status.as_dict() == {
        "code": "partner_not_admitted",
        "partner_id": "green-farm",
        "status": "suspended",
    }
    assert not partner.suspended().admitted_on(day)
    assert not_admitted("x").details["status"] is None


def test_account_numbers_are_not_shown_whole() -> None:
    """What is logged of an account shows the last four digits."""
    shown = repr(details().account)
    assert "5678" in shown
    assert "6500120000012345678" not in shown
