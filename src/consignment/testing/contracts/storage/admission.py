"""Policies, partners and decisions."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.admission import Criterion, Decision
from consignment.domain.errors import DuplicateKey, StaleWrite
from consignment.domain.partner import PartnerStatus
from consignment.testing.builders import (
    NOW,
    a_decision,
    a_partner,
    a_policy,
    an_admission_request,
    assessments,
    details,
)
from consignment.testing.contracts.storage.base import StorageCase
from consignment.testing.contracts.support import raises

if TYPE_CHECKING:
    from datetime import datetime

    from consignment.domain.admission import AdmissionDecision, AdmissionPolicy
    from consignment.ports.storage import Transaction

__all__ = ["AdmissionBooksContract"]


class AdmissionBooksContract(StorageCase):
    """Policies, partners and decisions."""

    def _add_policy(self, policy: AdmissionPolicy, at: datetime = NOW) -> None:
        self.write(lambda t: t.policies.add(policy, at))

    def _add_decision(self, decision: AdmissionDecision) -> None:
        self.write(lambda t: t.partners.add_decision(decision))

    # Policies.

    def test_policy_is_read_back_whole(self) -> None:
        """A policy comes back equal, with its overlays."""
        policy = a_policy(overlays={"interbank": {"contract_credit": "85.5"}})
        self.write(lambda t: t.policies.add(policy, NOW))
        read = self.read(lambda t: t.policies.get("2026-1"))
        assert read == policy
        assert read is not None
        assert read.minimum(Criterion.CONTRACT_CREDIT, ["interbank"]).as_tuple() == (
            (0, (8, 5, 5), -1)
        )

    def test_the_policy_added_last_is_in_force(self) -> None:
        """Without a version, `get` gives the policy that was added last, whatever its name."""
        for i, version in enumerate(("2026-3", "2026-1", "2026-2")):
            at = NOW + timedelta(days=i)
            self._add_policy(a_policy(version), at)
            in_force = self.read(lambda t: t.policies.get())
            assert in_force is not None
            assert in_force.version == version
        assert self.read(lambda t: t.policies.get("2026-3")) == a_policy("2026-3")
        assert self.read(lambda t: t.policies.get("2027-1")) is None

    def test_a_policy_version_is_there_once(self) -> None:
        """A version that is there cannot be added again, and stays as it is."""
        self.write(lambda t: t.policies.add(a_policy(), NOW))
        with raises(DuplicateKey):
            self.write(lambda t: t.policies.add(a_policy(minimum="70"), NOW))
        assert self.read(lambda t: t.policies.get()) == a_policy()

    # Partners.

    def test_partner_is_read_back_whole(self) -> None:
        """A partner comes back equal, with its admissions; ids without one are left out."""
        partner = a_partner(
            lines=("corporate", "retail"), status=PartnerStatus.EXITED, exited_for_cause=True
        )
        self.given(partner)
        assert self.read(lambda t: t.partners.get(["green-farm", "nobody"])) == {
            "green-farm": partner
        }
        assert self.read(lambda t: t.partners.get([])) == {}

    def test_a_partner_before_any_admission(self) -> None:
        """A partner without admissions comes back without them."""
        partner = a_partner(lines=(), status=PartnerStatus.APPLIED)
        self.given(partner)
        assert self.read(lambda t: t.partners.get(["green-farm"]))["green-farm"] == partner

    def test_partner_ids_differ_by_case(self) -> None:
        """Ids are compared character by character: case matters."""
        self.given(a_partner("farm"), a_partner("FARM"))
        found = self.read(lambda t: t.partners.get(["farm", "FARM", "Farm"]))
        assert sorted(found) == ["FARM", "farm"]

    def test_partner_is_found_by_registration_number(self) -> None:
        """A registration number leads to its partner's id."""
        partner = a_partner()
        self.given(partner, a_partner("other-farm"))
        number = partner.details.registration_number
        assert self.read(lambda t: t.partners.registered_as(number)) == "green-farm"
        assert self.read(lambda t: t.partners.registered_as("91652901MA0000015R")) is None

    def test_a_partner_is_there_once(self) -> None:
        """An id or a registration number that is there cannot be added again."""
        partner = a_partner()
        self.given(partner)
        same_number = details("twin", registration_number=partner.details.registration_number)
        for other in (
            evolve(
                a_partner("x"),
                details=details(
                    "green-farm", registration_number=a_partner("x").details.registration_number
                ),
            ),
            evolve(partner, details=same_number),
        ):
            with raises(DuplicateKey):
                self.given(other)
        assert self.rows(lambda t: t.partners.list()) == [partner]

    def test_a_saved_partners_revision_grows(self) -> None:
        """Each save stores the changed partner under the next revision."""
        self.given(a_partner())
        for expected in (1, 2):

            def work(t: Transaction) -> None:
                partner = t.partners.get(["green-farm"])["green-farm"]
                admitted = partner.status is PartnerStatus.ADMITTED
                t.partners.save(partner.suspended() if admitted else partner.reinstated())

            self.write(work)
            partner = self.read(lambda t: t.partners.get(["green-farm"]))["green-farm"]
            assert partner.revision == expected
        assert evolve(partner, revision=0) == a_partner()

    def test_saved_admissions_replace_the_earlier_ones(self) -> None:
        """A save stores the partner's admissions and papers as they are now."""
        self.given(a_partner())
        read = self.read(lambda t: t.partners.get(["green-farm"]))["green-farm"]
        more = a_partner(lines=("corporate", "interbank"), valid_until=date(2028, 1, 1))
        papers = details(name="绿源农场有限公司")
        changed = evolve(read, admissions=more.admissions, details=papers)
        self.write(lambda t: t.partners.save(changed))
        stored = self.read(lambda t: t.partners.get(["green-farm"]))["green-farm"]
        assert stored == evolve(changed, revision=1)

    def test_a_stale_partner_is_not_saved(self) -> None:
        """A partner that somebody else has saved since cannot be saved; theirs stands."""
        self.given(a_partner())
        read = self.read(lambda t: t.partners.get(["green-farm"]))["green-farm"]
        self.write(lambda t: t.partners.save(read.suspended()))
        with raises(StaleWrite):
            self.write(lambda t: t.partners.save(read.exited(for_cause=True)))
        stored = self.read(lambda t: t.partners.get(["green-farm"]))["green-farm"]
        assert stored.status is PartnerStatus.SUSPENDED
        assert stored.revision == 1

    def test_a_partner_that_is_not_there_is_not_saved(self) -> None:
        """Saving what was never added is a stale write."""
        with raises(StaleWrite):
            self.write(lambda t: t.partners.save(a_partner()))
        assert self.rows(lambda t: t.partners.list()) == []

    def test_partners_are_listed_by_rising_id_in_pages(self) -> None:
        """`list` goes by rising id, after an id, up to a limit."""
        ids = ["a", "B", "c-10", "c-9", "d"]
        self.given(*map(a_partner, ids))
        rising = sorted(ids)
        assert [p.partner_id for p in self.read(lambda t: t.partners.list())] == rising
        page = self.read(lambda t: t.partners.list(limit=2))
        assert [p.partner_id for p in page] == rising[:2]
        page = self.read(lambda t: t.partners.list(after=rising[1], limit=2))
        assert [p.partner_id for p in page] == rising[2:4]
        assert self.rows(lambda t: t.partners.list(after="d")) == []

    def test_partners_due_for_review(self) -> None:
        """With `review_until`: admitted and suspended ones whose earliest admission ends by it."""
        day = date(2026, 10, 1)
        later = day + timedelta(days=1)
        two = a_partner("two", lines=("corporate",), valid_until=later)
        both = (*two.admissions, *a_partner(lines=("retail",), valid_until=day).admissions)
        self.given(
            a_partner("due", valid_until=day),
            a_partner("later", valid_until=later),
            a_partner("suspended", valid_until=day, status=PartnerStatus.SUSPENDED),
            a_partner("exited", valid_until=day, status=PartnerStatus.EXITED),
            a_partner("applied", lines=(), status=PartnerStatus.APPLIED),
            evolve(two, admissions=both),
        )
        due = self.read(lambda t: t.partners.list(review_until=day))
        assert [p.partner_id for p in due] == ["due", "suspended", "two"]
        due = self.read(lambda t: t.partners.list(review_until=day, after="due", limit=1))
        assert [p.partner_id for p in due] == ["suspended"]
        assert self.rows(lambda t: t.partners.list(review_until=day - timedelta(days=1))) == []

    def test_review_follows_a_saved_partner(self) -> None:
        """When a partner's admission is renewed, it is no longer due."""
        day = date(2026, 10, 1)
        self.given(a_partner(valid_until=day))
        read = self.read(lambda t: t.partners.list(review_until=day))[0]
        renewed = a_partner(valid_until=date(2028, 1, 1)).admissions
        self.write(lambda t: t.partners.save(evolve(read, admissions=renewed)))
        assert self.rows(lambda t: t.partners.list(review_until=day)) == []

    # Decisions.

    def test_decision_is_read_back_whole(self) -> None:
        """A decision comes back equal: request, assessments, basis, reasons and figures."""
        request = an_admission_request(
            assessments=assessments(scores={Criterion.PRODUCT_QUALITY: "12.50"}, evidence="文件:1"),
            requested_at=NOW - timedelta(days=1),
        )
        rejected = a_decision(request=request)
        assert rejected.decision is Decision.REJECTED
        admitted = evolve(
            a_decision(sequence=2), last_cooperation_at=NOW - timedelta(microseconds=1)
        )
        self.write(lambda t: t.partners.add(a_partner()))
        self.write(lambda t: t.partners.add_decision(rejected))
        self.write(lambda t: t.partners.add_decision(admitted))
        assert self.rows(lambda t: t.partners.decisions("ADM-1")) == [rejected, admitted]
        assert self.rows(lambda t: t.partners.decisions("ADM-2")) == []

    def test_a_decision_on_somebody_who_is_no_partner(self) -> None:
        """A decision is kept also when the applicant never became a partner."""
        decision = a_decision(partner_id="nobody")
        self.write(lambda t: t.partners.add_decision(decision))
        assert self.rows(lambda t: t.partners.decisions("ADM-1")) == [decision]
        assert self.read(lambda t: t.partners.get(["nobody"])) == {}

    def test_a_decision_is_there_once(self) -> None:
        """A request has one decision with a sequence; ids are unique in the whole bank."""
        self.write(lambda t: t.partners.add_decision(a_decision()))
        for again in (a_decision(), a_decision(partner_id="other-farm")):
            with raises(DuplicateKey):
                self._add_decision(again)
        assert self.rows(lambda t: t.partners.decisions("ADM-1")) == [a_decision()]
