"""Partners: who may sell for the bank, in which business lines, and until when."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from consignment.domain.errors import IllegalTransition, Reason, reason
from consignment.domain.money import minor_places
from consignment.domain.text import check_id, check_registration_number, check_text

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Account", "BusinessLine", "LineAdmission", "Partner", "PartnerDetails", "PartnerStatus"]


class BusinessLine(StrEnum):
    """The business lines of a bank. A host may use others: a line is any id."""

    CORPORATE = "corporate"
    RETAIL = "retail"
    INTERBANK = "interbank"


class PartnerStatus(StrEnum):
    """`applied → admitted ⇄ suspended → exited`."""

    APPLIED = "applied"
    ADMITTED = "admitted"
    SUSPENDED = "suspended"
    EXITED = "exited"


@frozen
class Account:
    """A bank account that can be credited: holder, number, bank (CNAPS code or BIC), currency."""

    holder: str
    number: str = field(repr=lambda number: f"'…{number[-4:]}'")
    bank: str
    currency: str

    def __attrs_post_init__(self) -> None:
        check_text(self.holder, "account.holder")
        check_text(self.number, "account.number", 64)
        check_text(self.bank, "account.bank", 64)
        minor_places(self.currency)


@frozen
class PartnerDetails:
    """What a partner is by its papers: id, legal name, registration number, account."""

    partner_id: str
    name: str
    registration_number: str
    account: Account

    def __attrs_post_init__(self) -> None:
        check_id(self.partner_id, "partner.partner_id")
        check_text(self.name, "partner.name")
        check_registration_number(self.registration_number)


@frozen
class LineAdmission:
    """That a partner may sell in a business line, up to and including the day `valid_until`."""

    business_line: str
    valid_until: date
    policy_version: str
    request_id: str


@frozen
class Partner:
    """A company that procures and sells on behalf, and its standing with the bank."""

    details: PartnerDetails
    status: PartnerStatus = PartnerStatus.APPLIED
    admissions: tuple[LineAdmission, ...] = ()
    exited_for_cause: bool = False
    revision: int = 0

    @property
    def partner_id(self) -> str:
        """The id that the bank chose for this partner."""
        return self.details.partner_id

    @property
    def review_on(self) -> date | None:
        """The last day of the admission that ends first, or None before the first admission."""
        return min((each.valid_until for each in self.admissions), default=None)

    def admitted_on(self, day: date) -> bool:
        """Tell whether the partner is admitted in at least one line on a business day."""
        return self.status is PartnerStatus.ADMITTED and any(
            day <= each.valid_until for each in self.admissions
        )

    def standing_faults(self) -> tuple[Reason, ...]:
        """Say why an application is refused whatever the partner's history, if it is."""
        if self.status is PartnerStatus.SUSPENDED:
            return (reason("partner_suspended", partner_id=self.partner_id),)
        if self.status is PartnerStatus.EXITED and self.exited_for_cause:
            return (reason("partner_exited", partner_id=self.partner_id),)
        return ()

    def ordering_faults(self, business_line: str, day: date) -> tuple[Reason, ...]:
        """Say why no order may be placed with the partner in a line on a business day, if so."""
        if self.status is not PartnerStatus.ADMITTED:
            return (not_admitted(self.partner_id, self.status),)
        for each in self.admissions:
            if each.business_line == business_line:
                if day <= each.valid_until:
                    return ()
                return (
                    reason(
                        "admission_expired",
                        partner_id=self.partner_id,
                        business_line=business_line,
                        valid_until=each.valid_until.isoformat(),
                    ),
                )
        return (
            reason("line_not_admitted", partner_id=self.partner_id, business_line=business_line),
        )

    def admitted(self, details: PartnerDetails, lines: Iterable[LineAdmission]) -> Partner:
        """Return the partner with the lines admitted.

        Earlier admissions of other lines stay, except those that an exit put an end to.
        """
        left = self.status is PartnerStatus.EXITED
        by_line = {} if left else {each.business_line: each for each in self.admissions}
        by_line.update((each.business_line, each) for each in lines)
        admissions = tuple(by_line[line] for line in sorted(by_line))
        return evolve(
            self,
            details=details,
            status=PartnerStatus.ADMITTED,
            admissions=admissions,
            exited_for_cause=False,
        )

    def suspended(self) -> Partner:
        """Return the partner suspended; `IllegalTransition` unless it is admitted."""
        return self._moved(PartnerStatus.SUSPENDED, PartnerStatus.ADMITTED)

    def reinstated(self) -> Partner:
        """Return the partner admitted again; `IllegalTransition` unless it is suspended."""
        return self._moved(PartnerStatus.ADMITTED, PartnerStatus.SUSPENDED)

    def exited(self, *, for_cause: bool) -> Partner:
        """Return the partner exited; `IllegalTransition` when it already is."""
        left = self._moved(
            PartnerStatus.EXITED,
            PartnerStatus.APPLIED,
            PartnerStatus.ADMITTED,
            PartnerStatus.SUSPENDED,
        )
        return evolve(left, exited_for_cause=for_cause)

    def _moved(self, to: PartnerStatus, *allowed: PartnerStatus) -> Partner:
        if self.status not in allowed:
            raise IllegalTransition(
                reason(
                    "partner_status",
                    partner_id=self.partner_id,
                    status=self.status.value,
                    wanted=to.value,
                )
            )
        return evolve(self, status=to)


def not_admitted(partner_id: str, status: PartnerStatus | None = None) -> Reason:
    """Give the reason `partner_not_admitted`, with the status where there is one."""
    return reason(
        "partner_not_admitted",
        partner_id=partner_id,
        status=None if status is None else status.value,
    )
