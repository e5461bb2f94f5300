"""`progress`: how it is selling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.adapters.cli.answer import Answer
from consignment.adapters.cli.console import figure
from consignment.adapters.cli.shapes import progress_shape
from consignment.domain.money import decimal_text, round_half_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console
    from consignment.domain.progress import Progress

__all__ = ["add", "show_progress"]


def add(commands: Commands) -> None:
    """Add `progress`."""
    parser = commands.add("progress", _progress, "tell how products are selling")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument(
        "--number", metavar="N", action="append", help="a product number; may come several times"
    )
    wanted.add_argument(
        "--name", metavar="TEXT", help="products whose name has this: whole, beginning, somewhere"
    )
    wanted.add_argument("--order", metavar="ORDER_ID", help="the products of one order")
    parser.add_argument("--page", metavar="P", help="the next_page of the answer before")
    parser.add_argument(
        "--limit", metavar="N", type=int, default=100, help="products a page, with --name"
    )


def _progress(asked: Invocation) -> Answer:
    given = asked.given
    progress = asked.open().progress
    if given.number is not None:
        return _answer(progress.by_numbers(given.number))
    if given.order is not None:
        return _answer(progress.by_order(given.order))
    page = progress.by_name(given.name, page=given.page, limit=given.limit)
    return _answer(page.products, page.next_page)


def _answer(products: Sequence[Progress], next_page: str | None = None) -> Answer:
    def show(console: Console) -> None:
        show_progress(console, products)
        if next_page is not None:
            console.say(f"There are more: --page {next_page!r}", "faint")

    document = {"products": map(progress_shape, products), "next_page": next_page}
    return Answer(document, show)


def show_progress(console: Console, products: Sequence[Progress]) -> None:
    """Show people how products are selling: one with everything, several side by side."""
    if not products:
        console.say("No product has this in its name.")
    elif len(products) == 1:
        console.table(["", ""], _everything(products[0]))
    else:
        console.table(
            [
                "product",
                "stage",
                figure("procured"),
                figure("net sold"),
                figure("unsold"),
                figure("net sales"),
                figure("sold %"),
            ],
            (
                (
                    (each.product_number, each.name),
                    each.stage,
                    each.procured,
                    each.net_sold,
                    each.unsold,
                    each.net_sales,
                    _percent(each),
                )
                for each in products
            ),
        )


def _percent(product: Progress) -> str | None:
    if product.sell_through is None:
        return None
    return decimal_text(round_half_up(product.sell_through * 10_000), 2)


def _everything(product: Progress) -> list[tuple[object, ...]]:
    shape = progress_shape(product)
    return [(name.replace("_", " "), value) for name, value in shape.items()]
