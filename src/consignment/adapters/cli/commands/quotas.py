"""`quota`: how much may be on consignment at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.adapters.cli.answer import Answer
from consignment.adapters.cli.console import Styled, figure
from consignment.adapters.cli.inputs import read_document
from consignment.adapters.cli.shapes import quota_shape
from consignment.domain.quota import Quota
from consignment.formats.documents import read_quotas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console

__all__ = ["add", "show_quotas"]


def add(commands: Commands) -> None:
    """Add the commands."""
    quota = commands.group("quota", "how much may be on consignment at once")
    setting = quota.add("set", _set, "set limits")
    setting.add_argument("file", metavar="FILE")
    setting.add_argument("--actor", metavar="A", help="who does it, for the journal")
    quota.add("show", _show, "show limits and what is used of them")


def _set(asked: Invocation) -> Answer:
    limits = read_document(asked.given.file, read_quotas)
    quotas = [Quota.of(scope, limit) for scope, limit in limits]
    return _answer(asked.open().quotas.set(quotas, actor=asked.given.actor))


def _show(asked: Invocation) -> Answer:
    return _answer(asked.open().quotas.show())


def _answer(quotas: Sequence[Quota]) -> Answer:
    return Answer(map(quota_shape, quotas), lambda console: show_quotas(console, quotas))


def show_quotas(console: Console, quotas: Sequence[Quota]) -> None:
    """Show people quotas."""
    if not quotas:
        console.say("No quotas are set: nothing is limited.")
        return
    console.table(
        ["scope", figure("limit"), figure("used"), figure("available"), "currency"],
        (
            (
                each.scope,
                each.limit,
                each.used,
                each.available or Styled(each.available, "bad"),
                each.currency,
            )
            for each in quotas
        ),
    )
