"""`policy`, `admit`, `assess` and `partner`: who may sell for us."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from consignment.adapters.cli.answer import Answer, Exit
from consignment.adapters.cli.console import Styled
from consignment.adapters.cli.inputs import read_document
from consignment.adapters.cli.refusing import reason_line
from consignment.adapters.cli.shapes import decision_shape, partner_shape
from consignment.domain.admission import Decision
from consignment.domain.partner import PartnerStatus
from consignment.formats.documents import read_admission_request, read_assessments, read_policy

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterator, Sequence

    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console, Row, Style
    from consignment.domain.admission import AdmissionDecision
    from consignment.domain.partner import Partner

__all__ = ["STATUS_STYLES", "add", "show_decision"]

STATUS_STYLES: dict[PartnerStatus, Style] = {
    PartnerStatus.APPLIED: "warn",
    PartnerStatus.ADMITTED: "good",
    PartnerStatus.SUSPENDED: "warn",
    PartnerStatus.EXITED: "bad",
}
_DECISION_STYLES: dict[Decision, Style] = {
    Decision.ADMITTED: "good",
    Decision.PENDING: "warn",
    Decision.REJECTED: "bad",
}


def add(commands: Commands) -> None:
    """Add the commands."""
    policy = commands.group("policy", "what partners must meet").add(
        "set", _set_policy, "store a version of the admission policy and put it in force"
    )
    policy.add_argument("file", metavar="FILE")
    policy.add_argument("--actor", metavar="A", help="who does it, for the journal")

    admit = commands.add("admit", _admit, "decide on an admission request")
    admit.add_argument("file", metavar="FILE")

    assess = commands.add("assess", _assess, "submit the assessments that a request waits for")
    assess.add_argument("request_id", metavar="REQUEST_ID")
    assess.add_argument("file", metavar="FILE")
    assess.add_argument("--actor", metavar="A", required=True, help="who assessed")

    partner = commands.group("partner", "the partners and their standing")
    listing = partner.add("list", _list, "list the partners")
    listing.add_argument(
        "--due-for-review",
        action="store_true",
        help="only those whose admission has ended or ends soon",
    )
    _add_move(partner.add("suspend", _suspend, "order nothing new from a partner for now"))
    _add_move(partner.add("reinstate", _reinstate, "admit a suspended partner again"))
    leaving = partner.add("exit", _exit, "end the work with a partner")
    _add_move(leaving)
    leaving.add_argument(
        "--without-cause", action="store_true", help="the partner may apply again later"
    )


def _add_move(parser: ArgumentParser) -> None:
    parser.add_argument("partner_id", metavar="PARTNER_ID")
    parser.add_argument("--reason", metavar="R", required=True, help="why, for the journal")
    parser.add_argument("--actor", metavar="A", required=True, help="who decided it")


def _set_policy(asked: Invocation) -> Answer:
    policy = read_document(asked.given.file, read_policy)
    stored = asked.open().admission.set_policy(policy, actor=asked.given.actor)

    def show(console: Console) -> None:
        console.say(f"Admission policy {stored.version} is in force.", "good")

    return Answer({"version": stored.version}, show)


def _admit(asked: Invocation) -> Answer:
    request = read_document(asked.given.file, read_admission_request)
    return _decided(asked.open().admission.request(request))


def _assess(asked: Invocation) -> Answer:
    assessments = read_document(asked.given.file, read_assessments)
    admission = asked.open().admission
    return _decided(admission.assess(asked.given.request_id, assessments, actor=asked.given.actor))


def _decided(decision: AdmissionDecision) -> Answer:
    rejected = decision.decision is Decision.REJECTED
    return Answer(
        decision_shape(decision),
        lambda console: show_decision(console, decision),
        Exit.REFUSED if rejected else Exit.DONE,
    )


def show_decision(console: Console, decision: AdmissionDecision) -> None:
    """Show people a decision on an admission."""
    partner = decision.request.partner
    style = _DECISION_STYLES[decision.decision]
    console.say(f"{partner.name} ({partner.partner_id}): {decision.decision.value}", style)
    lines = ", ".join(decision.request.business_lines)
    told = [f"business lines {lines}", f"policy {decision.policy_version}"]
    if decision.basis is not None:
        told.append(f"basis {decision.basis.value}")
    if decision.valid_until is not None:
        told.append(f"valid until {decision.valid_until}")
    console.say("  " + ", ".join(told))
    for each in decision.reasons:
        console.say("  " + reason_line(each.as_dict()), style)


def _list(asked: Invocation) -> Answer:
    admission = asked.open().admission
    page = admission.due_for_review if asked.given.due_for_review else admission.partners
    partners = _all(lambda after: page(after=after))

    def show(console: Console) -> None:
        first = next(partners, None)
        if first is None:
            console.say("No partners.")
            return
        console.table(
            ["partner", "status", "review on", "admitted until"],
            map(_row, chain([first], partners)),
        )

    return Answer(map(partner_shape, partners), show)


def _all(page: Callable[[str], Sequence[Partner]]) -> Iterator[Partner]:
    after = ""
    while found := page(after):
        yield from found
        after = found[-1].partner_id


def _row(partner: Partner) -> Row:
    lines = tuple(f"{each.valid_until} {each.business_line}" for each in partner.admissions)
    return (
        (partner.partner_id, partner.details.name),
        Styled(partner.status.value, STATUS_STYLES[partner.status]),
        partner.review_on,
        lines,
    )


def _suspend(asked: Invocation) -> Answer:
    given = asked.given
    suspend = asked.open().admission.suspend
    return _moved(suspend(given.partner_id, why=given.reason, actor=given.actor))


def _reinstate(asked: Invocation) -> Answer:
    given = asked.given
    reinstate = asked.open().admission.reinstate
    return _moved(reinstate(given.partner_id, why=given.reason, actor=given.actor))


def _exit(asked: Invocation) -> Answer:
    given = asked.given
    leave = asked.open().admission.exit
    moved = leave(
        given.partner_id, why=given.reason, actor=given.actor, for_cause=not given.without_cause
    )
    return _moved(moved)


def _moved(partner: Partner) -> Answer:
    def show(console: Console) -> None:
        style = STATUS_STYLES[partner.status]
        console.say(f"{partner.partner_id} is {partner.status.value}.", style)

    return Answer(partner_shape(partner), show)
