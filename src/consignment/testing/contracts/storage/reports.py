"""Partner reports."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.errors import DuplicateKey, StaleWrite, reason
from consignment.domain.report import ReportKind, ReportOutcome
from consignment.testing.builders import (
    NOW,
    a_record,
    accepted,
    an_order,
    completed,
    expense,
    procured,
    rejected,
    returned,
    sent_back,
    sold,
    written_off,
)
from consignment.testing.contracts.storage.base import StorageCase
from consignment.testing.contracts.support import raises

if TYPE_CHECKING:
    from consignment.domain.report import ReportRecord

__all__ = ["ReportBookContract"]

_ORDER = "D-1:green-farm"
_LARGE = 2500
_TICK = timedelta(microseconds=1)


class ReportBookContract(StorageCase):
    """Partner reports."""

    def _reports(self, *report_ids: str, partner_id: str = "green-farm") -> dict[str, ReportRecord]:
        return self.read(lambda t: t.reports.get(partner_id, report_ids))

    def _add_reports(self, *records: ReportRecord) -> None:
        self.write(lambda t: t.reports.add(records))

    def test_report_is_read_back_whole(self) -> None:
        """A report's record comes back equal, of every kind, with its content and effect."""
        reports = [
            accepted(),
            rejected(),
            procured(final=True),
            sold(_ORDER, ("苹果 №1", "0.5", "68.80"), at=NOW + _TICK),
            returned(),
            sent_back(),
            written_off(),
            expense(),
            completed(),
        ]
        records = [
            a_record(each, received_at=NOW + 7 * _TICK, effect=(("APPLE", 5, 10**15),))
            for each in reports
        ]
        self.given(an_order(), *records)
        found = self._reports(*(each.report_id for each in reports), "none")
        assert found == {each.report_id: each for each in records}
        assert self._reports() == {}

    def test_refused_and_unreadable_reports_are_kept_too(self) -> None:
        """A refused report is kept with its reasons, also when its order or content is unknown."""
        self.given(an_order())
        refused = a_record(
            sold("nowhere:green-farm"),
            outcome=ReportOutcome.REFUSED,
            reasons=(
                reason("over_sold", product_number="苹果", unsold="3", lines=[1, None, True]),
                reason("order_unknown"),
            ),
            sales_partner_id=None,
        )
        unreadable = a_record(
            partner_id="green-farm",
            report_id="SR-2",
            kind=ReportKind.UNREADABLE,
            order_id=None,
            occurred_at=None,
            outcome=ReportOutcome.REFUSED,
            reasons=(reason("not_json", at="$"),),
            details={"text": "{…", "size": 10**15, "list": [], "none": None},
            sales_partner_id=None,
        )
        self._add_reports(refused, unreadable)
        found = self._reports("SR-1", "SR-2")
        assert found == {"SR-1": refused, "SR-2": unreadable}
        assert [dict(each.details) for each in found["SR-1"].reasons] == [
            {"product_number": "苹果", "unsold": "3", "lines": [1, None, True]},
            {},
        ]

    def test_a_report_id_is_there_once_per_partner(self) -> None:
        """A partner has one report with an id; another partner may have one with the same id."""
        theirs = a_record(sold("D-1:other-farm"))
        self.given(a_record(), theirs)
        new = a_record(report_id="SR-2")
        for batch in ([new, evolve(a_record(), digest="1" * 64)], [new, new]):
            with raises(DuplicateKey):
                self._add_reports(*batch)
        assert self._reports("SR-1", "SR-2") == {"SR-1": a_record()}
        assert self._reports("SR-1", "SR-2", partner_id="other-farm") == {"SR-1": theirs}

    def test_report_ids_are_any_text(self) -> None:
        """A partner's ids are compared character by character, whatever they consist of."""
        ids = ["a", "A", "Ａ", "报告/1", "x" * 128, "a b", "😀", "%", "\u00e9", "e\u0301"]
        self.given(an_order(), *(a_record(report_id=each) for each in ids))
        assert sorted(self._reports(*ids)) == sorted(ids)
        assert self._reports("É", "B", "_") == {}

    def test_reports_of_an_order_come_in_the_order_received(self) -> None:
        """`of_order` gives the order's reports as they came, also within one batch."""
        ids = ["c", "a", "b", "e", "d"]
        self.given(an_order(), an_order("D-2"), a_record(sold("D-2:green-farm", report_id="x")))
        later = a_record(report_id="f", received_at=NOW + timedelta(hours=3))
        self._add_reports(*(a_record(report_id=each) for each in ids))
        self._add_reports(later)
        found = self.read(lambda t: t.reports.of_order(_ORDER))
        assert [each.report_id for each in found] == [*ids, "f"]
        assert found[0] == a_record(report_id="c")
        assert not self.read(lambda t: t.reports.of_order("D-3:green-farm"))

    def test_reports_that_are_to_be_pushed(self) -> None:
        """`unpushed` gives taken sales, returns and completions, in the order received."""
        reports = [
            accepted(),
            completed(),
            sold(report_id="b"),
            expense(),
            returned(),
            procured(),
            sent_back(),
            written_off(),
            sold(report_id="a"),
        ]
        refused = a_record(report_id="r", outcome=ReportOutcome.REFUSED)
        self.given(an_order(), *(a_record(each) for each in reports), refused)
        self.given(a_record(sold("D-9:other-farm", report_id="c")))
        theirs = a_record(sold("D-2:green-farm", report_id="d"), sales_partner_id="sp-wang")
        self.given(theirs)
        found = self.read(lambda t: t.reports.unpushed("sp-li"))
        assert [each.report_id for each in found] == ["CP-1", "b", "RT-1", "a", "c"]
        found = self.read(lambda t: t.reports.unpushed("sp-wang"))
        assert [each.report_id for each in found] == ["d"]
        assert not self.read(lambda t: t.reports.unpushed("none"))

    def test_pushed_reports_are_marked(self) -> None:
        """What was pushed is no longer to be pushed, and knows its slot."""
        self.given(*(a_record(report_id=each) for each in "abc"))
        first = self.read(lambda t: t.reports.unpushed("sp-li"))[:2]
        slot = NOW + timedelta(days=1)
        self.write(lambda t: t.reports.mark_pushed(first, slot))
        found = self.read(lambda t: t.reports.unpushed("sp-li"))
        assert [each.report_id for each in found] == ["c"]
        assert self._reports("a", "b", "c") == {
            "a": evolve(a_record(report_id="a"), pushed_slot=slot),
            "b": evolve(a_record(report_id="b"), pushed_slot=slot),
            "c": a_record(report_id="c"),
        }

    def test_a_report_is_pushed_once(self) -> None:
        """Marking a report that was pushed already is stale, and marks none of the others."""
        self.given(*(a_record(report_id=each) for each in "ab"))
        a, b = self.read(lambda t: t.reports.unpushed("sp-li"))
        self.write(lambda t: t.reports.mark_pushed([a], NOW))
        with raises(StaleWrite):
            self.write(lambda t: t.reports.mark_pushed([b, a], NOW + _TICK))
        found = self._reports("a", "b")
        assert (found["a"].pushed_slot, found["b"].pushed_slot) == (NOW, None)

    def test_large_batches_of_reports(self) -> None:
        """Thousands of reports go in, come out and are marked in one call."""
        self.given(an_order())
        records = [a_record(report_id=f"R-{i:05}") for i in range(_LARGE)]
        self._add_reports(*records)
        assert self._reports(*(each.report_id for each in records)) == {
            each.report_id: each for each in records
        }
        assert self.rows(lambda t: t.reports.of_order(_ORDER)) == records
        unpushed = self.rows(lambda t: t.reports.unpushed("sp-li"))
        assert unpushed == records
        self.write(lambda t: t.reports.mark_pushed(unpushed, NOW))
        assert not self.read(lambda t: t.reports.unpushed("sp-li"))
