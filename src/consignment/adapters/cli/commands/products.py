"""`import` and `reindex`: what partners may sell, and how it is found by name."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from consignment.adapters.cli.answer import Answer
from consignment.adapters.cli.console import figure, progress_bar
from consignment.adapters.cli.refusing import in_file, reason_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from consignment.adapters.cli.arguments import Commands, Invocation
    from consignment.adapters.cli.console import Console
    from consignment.catalogue import ImportResult

__all__ = ["add"]

#: So many products, and rejected rows, are shown to people.
_SHOWN = 20


def add(commands: Commands) -> None:
    """Add `import` and `reindex`."""
    formats = "CSV, JSON Lines, XLSX or Parquet"
    parser = commands.add("import", _import, f"import a partner's products from {formats}")
    parser.add_argument("partner_id", metavar="PARTNER_ID")
    parser.add_argument("file", metavar="FILE", help=".csv, .jsonl, .ndjson, .xlsx or .parquet")
    parser.add_argument(
        "--all-or-nothing", action="store_true", help="import no row when any is rejected"
    )
    parser.add_argument(
        "--encoding", metavar="E", help="of CSV: utf-8 or gb18030, where it is not to be found out"
    )
    parser.add_argument(
        "--sheet", metavar="NAME", help="of XLSX: where it is not the first that is not hidden"
    )
    parser.add_argument("--actor", metavar="A", help="who does it, for the journal")
    commands.add("reindex", _reindex, "let names be found in the forms that are installed now")


def _reindex(asked: Invocation) -> Answer:
    changed = asked.open().catalogue.reindex_names()

    def show(console: Console) -> None:
        console.say(f"{changed:,} products are found by other forms of their names now.", "good")

    return Answer({"changed": changed}, show)


def _import(asked: Invocation) -> Answer:
    given = asked.given
    desk = asked.open()
    with in_file(given.file), progress_bar("rows") as progress:
        rows = desk.product_rows(given.file, encoding=given.encoding, sheet=given.sheet)
        result = desk.catalogue.import_products(
            given.partner_id,
            rows,
            all_or_nothing=given.all_or_nothing,
            actor=given.actor,
            progress=progress,
        )
    document = {
        "created": result.created,
        "updated": result.updated,
        "unchanged": result.unchanged,
        "rejected": result.rejected,
        "products": iter(result.products),
        "rejections": _rejections(result),
    }
    return Answer(document, lambda console: _show(console, result, given.file))


def _rejections(result: ImportResult) -> Iterator[dict[str, Any]]:
    for each in result.rejections:
        reasons = [fault.as_dict() for fault in each.reasons]
        yield {"row": each.row, "line": each.line, "reasons": reasons}


def _show(console: Console, result: ImportResult, file: str) -> None:
    console.table(
        [figure(each) for each in ("created", "updated", "unchanged", "rejected")],
        [(result.created, result.updated, result.unchanged, result.rejected)],
    )
    if result.products:
        console.table(["number", "name"], islice(result.products, _SHOWN))
        _say_more(console, len(result.products))
    if result.rejected:
        console.say("Rejected rows:", "bad")
        for each in islice(result.rejections, _SHOWN):
            for fault in each.reasons:
                console.say(f"  {file}:{each.line}: {reason_line(fault.as_dict())}")
        _say_more(console, result.rejected)


def _say_more(console: Console, count: int) -> None:
    if count > _SHOWN:
        console.say(f"… and {count - _SHOWN:,} more; --json gives all of them", "faint")
