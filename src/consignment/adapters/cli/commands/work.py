"""`work`: whatever is due, once or for good."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any

from attrs import define, field

from consignment.adapters.cli.answer import Answer, Exit
from consignment.adapters.cli.console import Styled, console_on, figure
from consignment.adapters.cli.refusing import message_line, reason_line
from consignment.adapters.cli.shapes import reason_shapes
from consignment.adapters.cli.workers import until_signalled, working
from consignment.domain.errors import Reason, StaleWrite, StorageBusy
from consignment.ports.partner_messaging import Answer as PartnerAnswer

if TYPE_CHECKING:
    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console
    from consignment.desk import Consignment, Work

__all__ = ["add"]

#: So many refusals are kept to be told when work goes on for good.
_KEPT = 1000
_SHOWN = 20


def add(commands: Commands) -> None:
    """Add `work`."""
    parser = commands.add(
        "work",
        _work,
        "do whatever is due: inbound files, expiries, sales data, settlements, credits, messages",
    )
    parser.add_argument("--forever", action="store_true", help="go on until SIGTERM or Ctrl-C")
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=_seconds,
        default=5.0,
        help="with --forever: how long to wait when nothing is due (5)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 86_400:  # noqa: PLR2004 - a day
        raise ArgumentTypeError(f"{text!r} is no number of seconds above 0, up to 86400")
    return seconds


@define
class _Totals:
    """What was done, over all rounds."""

    recovered: int = 0
    taken: int = 0
    repeated: int = 0
    refused: int = 0
    refusals: list[PartnerAnswer] = field(factory=list)
    trouble: str | None = None
    expired: int = 0
    pushed: int = 0
    settled: int = 0
    unsettled: list[Reason] = field(factory=list)
    credited: int = 0
    sent: int = 0
    failed: int = 0
    set_aside: int = 0

    def add(self, done: Work) -> None:
        """Add a round. Trouble, and what could not be settled, is as of the last one."""
        self.taken += done.received.taken
        self.repeated += done.received.repeated
        self.refused += done.received.refused
        self.refusals = (self.refusals + done.received.refusals)[-_KEPT:]
        self.trouble = done.received.trouble
        self.expired += done.expired
        self.pushed += done.pushed
        self.settled += done.settled.settled
        self.unsettled = done.settled.refusals
        self.credited += done.credits.done
        self.sent += done.messages.done
        self.failed += done.credits.failed + done.messages.failed
        self.set_aside += done.credits.set_aside + done.messages.set_aside

    def document(self) -> dict[str, Any]:
        """Give the counts as plain JSON."""
        return {
            "received": {
                "taken": self.taken,
                "repeated": self.repeated,
                "refused": self.refused,
                "refusals": [
                    {"id": each.report_id, "reasons": reason_shapes(each.reasons)}
                    for each in self.refusals
                ],
                "trouble": self.trouble,
            },
            "expired": self.expired,
            "pushed": self.pushed,
            "settled": self.settled,
            "credited": self.credited,
            "sent": self.sent,
            "failed": self.failed,
            "set_aside": self.set_aside,
            "recovered": self.recovered,
            "settlement_refusals": reason_shapes(self.unsettled),
        }

    def counts(self) -> dict[str, int]:
        """Give what people want to see, by the words for it."""
        return {
            "reports taken": self.taken,
            "reports repeated": self.repeated,
            "reports refused": self.refused,
            "orders expired": self.expired,
            "sales data pushed": self.pushed,
            "orders settled": self.settled,
            "credits carried out": self.credited,
            "messages sent": self.sent,
            "failed, tried again later": self.failed,
            "set aside": self.set_aside,
            "taken up after a crash": self.recovered,
        }


_BAD = {"reports refused", "failed, tried again later", "set aside"}


def _work(asked: Invocation) -> Answer:
    desk = asked.open()
    totals = _Totals()
    with working(asked.database, lambda: _recovered(desk, asked)) as recovered:
        totals.recovered = recovered
        if asked.given.forever:
            _go_on(desk, totals, asked)
        else:
            totals.add(desk.work())
    return Answer(
        totals.document(),
        lambda console: _show(console, totals),
        Exit.REFUSED if totals.trouble else Exit.DONE,
    )


def _recovered(desk: Consignment, asked: Invocation) -> int:
    """Take up what a crashed worker left; who goes on for good does not end over a lock."""
    try:
        return desk.relay.recover()
    except StorageBusy:
        if asked.given.forever:
            return 0  # the leases end by themselves
        raise


def _go_on(desk: Consignment, totals: _Totals, asked: Invocation) -> None:
    """Do round after round until a signal comes; what passes by itself does not end it."""
    said = console_on(sys.stdout)
    failures = console_on(sys.stderr)
    with until_signalled() as stop:
        while not stop.requested:
            try:
                done = desk.work()
            except (StorageBusy, StaleWrite) as error:
                failures.say(f"{_time(desk)}  to be tried again: {error}", "bad")
            else:
                totals.add(done)
                if not asked.json:
                    _say_round(said, desk, done)
            sys.stdout.flush()
            stop.wait(asked.given.interval)


def _say_round(console: Console, desk: Consignment, done: Work) -> None:
    round_ = _Totals()
    round_.add(done)
    told = [f"{what} {count}" for what, count in round_.counts().items() if count]
    if told:
        console.say(f"{_time(desk)}  {', '.join(told)}")
    if round_.trouble:
        console.say(f"{_time(desk)}  {round_.trouble}", "bad")


def _time(desk: Consignment) -> str:
    now = desk.clock.now().astimezone(desk.settings.timezone)
    return now.strftime("%Y-%m-%d %H:%M:%S")


def _show(console: Console, totals: _Totals) -> None:
    done = {what: count for what, count in totals.counts().items() if count}
    if not done:
        console.say("Nothing was done." if totals.trouble else "Nothing was due.")
    else:
        console.table(
            ["done", figure("")],
            ((what, Styled(count, "bad" if what in _BAD else "")) for what, count in done.items()),
        )
    for each in totals.refusals[:_SHOWN]:
        for fault in each.reasons:
            console.say(f"refused: {message_line(each.report_id, fault)}", "bad")
    for fault in totals.unsettled[:_SHOWN]:
        console.say(f"not settled: {reason_line(fault.as_dict())}", "bad")
    if totals.trouble:
        console.say(f"inbound: {totals.trouble}", "bad")
    if totals.set_aside:
        console.say("What was set aside: `consignment outbox list`", "bad")
