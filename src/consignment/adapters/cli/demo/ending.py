"""The story's end: how it sold, what each one gets, and the accounts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from consignment.adapters.cli.commands.progress import show_progress
from consignment.adapters.cli.commands.settlements import show_explanation, show_settlement
from consignment.adapters.cli.console import figure
from consignment.adapters.cli.demo.stage import ORDER, PARTNER, SALES_PARTNER, Stage, Step, amount
from consignment.adapters.cli.shapes import posting_shape, progress_shape, settlement_shape
from consignment.domain.money import Money

if TYPE_CHECKING:
    from consignment.adapters.cli.console import Console
    from consignment.ports.account_crediting import AccountBook

__all__ = ["credited", "found", "settled"]

_ASKED = ("苹果", "红枣", "１ＫＧ")


def found(stage: Stage) -> Step:
    """Ask how it is selling, by order and by name."""
    desk = stage.desk
    lines = desk.progress.by_order(ORDER)
    hits = {
        text: [each.product_number for each in desk.progress.by_name(text).products]
        for text in _ASKED
    }
    stage.results["find_by_name"] = hits

    def show(console: Console) -> None:
        console.say(
            "How are the goods selling? One answer, as of now, for the bank, the partner and the "
            "sales partner alike."
        )
        show_progress(console, lines)
        console.say(
            "Products are found by any part of their name; two characters are enough, and letters "
            "in full width (１ＫＧ) are the same as others."
        )
        console.table(
            ["asked for", "found"], ((text, ", ".join(each)) for text, each in hits.items())
        )

    data = {"progress": [progress_shape(each) for each in lines], "find_by_name": hits}
    return Step("progress", "Progress 代销进度: how it is selling", data, show)


def settled(stage: Stage) -> Step:
    """Settle what has become due."""
    desk = stage.desk
    preview = desk.settlement.preview(ORDER)
    done = desk.settlement.settle_due()
    (settlement,) = desk.settlement.of_order(ORDER)
    used = stage.quota_used()
    stage.results["settlement"] = settlement_shape(settlement)
    stage.results["quota_used"]["after_settlement"] = str(used)

    def show(console: Console) -> None:
        same = "the same" if preview == settlement else "another"
        console.say(
            f"The completed order is due: `work` finds it and settles it ({done.settled} order). A "
            f"preview before gave {same} result. The rule is the one that was in force when the "
            "order was placed."
        )
        show_settlement(console, settlement)
        show_explanation(console, settlement)
        console.say(
            f"The shares add up to the pool to the cent. Nothing of the order is reserved any "
            f"more: quota used {amount(used)}.",
            "good",
        )

    data = {"settlement": settlement_shape(settlement), "quota_used": str(used)}
    return Step("settlement", "Settlement 利润结算: what each one gets, and why", data, show)


def credited(stage: Stage) -> Step:
    """Carry out the credits, look at the ledger, and see what the sales partner was sent."""
    desk = stage.desk
    first, second = desk.work(), desk.work()
    book = cast("AccountBook", desk.crediting)
    accounts = (f"sales_partner:{SALES_PARTNER}", "bank", f"partner:{PARTNER}")
    balances = {name: _balance(book, name, desk.settings.currency) for name in accounts}
    postings = [each for name in accounts[:2] for each in book.postings(name)]
    order = desk.dispatch.order(ORDER)
    facts = sum(1 for _ in desk.audit.facts())
    told = Counter(each["type"] for each in stage.sent_to(f"sales_partner/{SALES_PARTNER}"))

    def show(console: Console) -> None:
        console.say(
            "With the settlement, credit instructions were written down; now they are carried out. "
            "Each has a key that never changes, so whatever crashes or is repeated, nobody is "
            "credited twice. The partner holds the money of the sales, and pays."
        )
        console.table(
            ["credit", "to", figure("amount")],
            ((each.key, each.account, amount(each.amount)) for each in postings),
        )
        console.table(
            ["ledger account", figure("balance")],
            [
                *((name, amount(balance)) for name, balance in balances.items()),
                ("together", amount(_sum(balances))),
            ],
        )
        console.say(
            f"Credits carried out: {first.credits.done}; by asking once more: "
            f"{second.credits.done}. The order is {order.state.value}.",
            "good",
        )
        console.say(
            f"In these weeks 李明 was sent {told['consignment.sales.data']} times sales figures (a "
            "day without sales is said to be one), "
            f"{told['consignment.products.procured']} product information and "
            f"{told['consignment.profit.settled']} statement. The journal has {facts} facts of "
            "what happened, none of which can be changed."
        )

    data = {
        "credited": first.credits.done,
        "credited_again": second.credits.done,
        "postings": [posting_shape(each) for each in postings],
        "balances": {name: str(balance) for name, balance in balances.items()},
        "state": order.state.value,
        "sent_to_sales_partner": dict(told),
        "facts": facts,
    }
    return Step("credits", "Credits 入账: the profit reaches the accounts, once", data, show)


def _balance(book: AccountBook, account: str, currency: str) -> Money:
    return next(iter(book.balance(account)), Money(0, currency))


def _sum(balances: dict[str, Money]) -> Money:
    first, *others = balances.values()
    for each in others:
        first += each
    return first
