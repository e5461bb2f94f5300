"""`sales-partner` and `rule`: on whose behalf goods are sold, and how the profit is shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.adapters.cli.answer import Answer
from consignment.adapters.cli.inputs import read_document
from consignment.adapters.cli.shapes import instant_text
from consignment.formats.documents import read_rule, read_sales_partner

if TYPE_CHECKING:
    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add the commands."""
    partner = commands.group("sales-partner", "on whose behalf goods are sold").add(
        "add", _add_sales_partner, "add a sales partner"
    )
    partner.add_argument("file", metavar="FILE")
    partner.add_argument("--actor", metavar="A", help="who does it, for the journal")
    rule = commands.group("rule", "how profit is computed and shared").add(
        "add", _add_rule, "add a version of a settlement rule"
    )
    rule.add_argument("file", metavar="FILE")
    rule.add_argument("--actor", metavar="A", help="who does it, for the journal")


def _add_sales_partner(asked: Invocation) -> Answer:
    wanted = read_document(asked.given.file, read_sales_partner)
    added = asked.open().sales_partners.add(wanted, actor=asked.given.actor)

    def show(console: Console) -> None:
        console.say(f"Sales partner {added.sales_partner_id} ({added.name}) is there.", "good")
        if added.push_schedule is not None:
            schedule = added.push_schedule
            console.say(f"  sales data go out by {schedule.cron!r} in {schedule.timezone}")

    document = {
        "sales_partner_id": added.sales_partner_id,
        "next_push_at": instant_text(added.next_push_at),
    }
    return Answer(document, show)


def _add_rule(asked: Invocation) -> Answer:
    desk = asked.open()
    currency = desk.settings.currency
    rule = read_document(asked.given.file, lambda data: read_rule(data, currency))
    added = desk.settlement.add_rule(rule, actor=asked.given.actor)

    def show(console: Console) -> None:
        console.say(f"Rule {added.rule_id} version {added.version} is there.", "good")
        console.say(
            f"  scope {added.scope}, effective from {added.effective_from}, "
            f"basis {added.basis.value}"
        )

    return Answer({"rule_id": added.rule_id, "version": added.version}, show)
