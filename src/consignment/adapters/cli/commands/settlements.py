"""`settle`, `statement` and `balance`: profit to accounts."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, cast

from consignment.adapters.cli.answer import Answer
from consignment.adapters.cli.console import Styled, figure
from consignment.adapters.cli.shapes import posting_shape, settlement_shape
from consignment.domain.errors import InvalidValue, reason
from consignment.domain.money import Money, decimal_text, minor_places
from consignment.domain.settlement import CreditState
from consignment.domain.text import id_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console, Style
    from consignment.desk import Consignment
    from consignment.domain.settlement import Settlement
    from consignment.ports.account_crediting import AccountBook, Posting

__all__ = ["add", "show_explanation", "show_settlement"]

_STATE_STYLES: dict[CreditState, Style] = {
    CreditState.CREDITED: "good",
    CreditState.DUE: "warn",
    CreditState.SET_ASIDE: "bad",
}
_PAGE = 1000


def add(commands: Commands) -> None:
    """Add the commands."""
    settle = commands.add("settle", _settle, "settle a completed order")
    settle.add_argument("order_id", metavar="ORDER_ID")
    settle.add_argument(
        "--preview", action="store_true", help="compute what it would give, and write nothing"
    )
    settle.add_argument("--actor", metavar="A", help="who does it, for the journal")
    statement = commands.add("statement", _statement, "show how an order was settled, and why so")
    statement.add_argument("order_id", metavar="ORDER_ID")
    balance = commands.add("balance", _balance, "show an account of the ledger")
    balance.add_argument("account", metavar="ACCOUNT", help="sales_partner:ID, partner:ID or bank")


def _settle(asked: Invocation) -> Answer:
    given = asked.given
    settlement = asked.open().settlement
    if given.preview:
        return _answer(settlement.preview(given.order_id), preview=True)
    return _answer(settlement.settle(given.order_id, actor=given.actor))


def _statement(asked: Invocation) -> Answer:
    return _answer(asked.open().settlement.of_order(asked.given.order_id)[-1])


def _answer(settlement: Settlement, *, preview: bool = False) -> Answer:
    def show(console: Console) -> None:
        if preview:
            console.say("A preview: nothing was written.", "warn")
        show_settlement(console, settlement)
        show_explanation(console, settlement)

    return Answer({**settlement_shape(settlement), "preview": preview}, show)


def show_settlement(console: Console, settlement: Settlement) -> None:
    """Show people a settlement's figures."""
    places = minor_places(settlement.currency)
    figures: list[tuple[object, ...]] = [
        ("net sales", settlement.net_sales),
        ("cost of goods", settlement.cost_of_goods),
        *((name, decimal_text(amount, places)) for name, amount in settlement.deductions),
        *([("loss, not shared", Styled(settlement.loss, "bad"))] if settlement.loss else []),
        ("pool", Styled(settlement.pool, "strong")),
    ]
    console.table([f"settlement {settlement.settlement_id}", figure(settlement.currency)], figures)
    console.table(
        ["beneficiary", figure("share"), figure("withheld"), figure("to be paid"), "state"],
        (
            (
                each.account,
                decimal_text(each.share_minor, places),
                decimal_text(each.withheld_minor, places),
                decimal_text(each.payable_minor, places),
                Styled(each.state.value, _STATE_STYLES.get(each.state, "")),
            )
            for each in settlement.shares
        ),
    )


def show_explanation(console: Console, settlement: Settlement) -> None:
    """Show people each step of a settlement."""
    console.say("How this comes about:", "strong")
    for line in settlement.explanation:
        console.say("  " + line)


def _check_holder(desk: Consignment, account: str) -> None:
    """Refuse the account of somebody unknown: its zero would look like one not yet paid."""
    kind, _, holder = account.partition(":")
    if kind == "partner":
        desk.admission.partner(holder)
    elif kind == "sales_partner":
        desk.sales_partners.get(holder)


def _balance(asked: Invocation) -> Answer:
    account = asked.given.account
    _check_account(account)
    desk = asked.open()
    _check_holder(desk, account)
    # The embedded default's crediting is a ledger, which tells of its accounts.
    book = cast("AccountBook", desk.crediting)
    balances = list(book.balance(account)) or [Money(0, desk.settings.currency)]
    postings = _all(book, account)
    document = {
        "account": account,
        "balance": str(balances[0]),
        "currency": balances[0].currency,
        "balances": [{"balance": str(each), "currency": each.currency} for each in balances],
        "postings": map(posting_shape, postings),
    }

    def show(console: Console) -> None:
        for each in balances:
            console.say(f"{account}: {each} {each.currency}", "strong")
        first = next(postings, None)
        if first is None:
            console.say("Nothing was posted to it.")
            return
        console.table(
            ["posted", figure("amount"), "", "against", "for"],
            (
                (
                    each.posted_at.astimezone(desk.settings.timezone).strftime("%Y-%m-%d %H:%M"),
                    each.amount,
                    each.amount.currency,
                    each.counter_account,
                    each.key,
                )
                for each in chain([first], postings)
            ),
        )

    return Answer(document, show)


def _check_account(account: str) -> None:
    kind, _, name = account.partition(":")
    if account != "bank" and (kind not in {"partner", "sales_partner"} or id_fault(name)):
        raise InvalidValue(
            reason(
                "account_invalid",
                account=account[:160],
                forms=["sales_partner:ID", "partner:ID", "bank"],
            )
        )


def _all(book: AccountBook, account: str) -> Iterator[Posting]:
    offset = 0
    while found := book.postings(account, offset=offset, limit=_PAGE):
        yield from found
        offset += len(found)
