"""Print the figures: `python -m benchmarks [--quick] [--only WORD]`.

Ratios within one run count; the machine's own speed changes from run to run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import bank, cases
from benchmarks.queries import QueryFigure, progress_by_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.cases import Figure


def _rates(figures: Iterator[Figure]) -> None:
    for figure in figures:
        verdict = ""
        if figure.aim is not None:
            reached = "reached" if figure.ratio >= figure.aim else "BELOW THE AIM"
            verdict = f"  aim {figure.aim:.1f}  {reached}"
        print(
            f"{figure.name:<44} {figure.library:>9,.0f} {figure.handwritten:>9,.0f} "
            f"{figure.units:<7} {figure.ratio:>5.2f}{verdict}",
            flush=True,
        )


def _queries(work: Path, sizes: tuple[int, int]) -> None:
    found: list[QueryFigure] = []
    for size in sizes:
        figure = progress_by_number(work, size)
        found.append(figure)
        verdict = "reached" if figure.ratio <= 2 else "ABOVE THE AIM"
        print(
            f"{f'progress by number of {size:,} products':<44} "
            f"{figure.library_us:>7.0f}µs {figure.handwritten_us:>7.0f}µs "
            f"(p99 {figure.library_p99_us:.0f} and {figure.handwritten_p99_us:.0f}) "
            f"{figure.ratio:.2f} times  aim 2.0  {verdict}",
            flush=True,
        )
    small, large = found
    growth = large.library_us / small.library_us
    verdict = "reached" if growth <= 1.3 else "ABOVE THE AIM"
    print(f"{'  the larger ÷ the smaller':<44} {growth:.2f} times  aim 1.3  {verdict}", flush=True)


def _memory(work: Path, count: int) -> None:
    bank.founded(work / "memory.db")
    bank.product_file(work / "memory.csv", count)
    command = [sys.executable, "-m", "benchmarks.memory", str(work), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak = float(done.stdout)
    verdict = "reached" if peak < 300 else "ABOVE THE AIM"
    print(f"{f'memory of importing {count:,} rows':<44} {peak:.0f} MB  aim 300  {verdict}")


def main() -> None:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, once")
    parser.add_argument("--only", default="", help="only cases with this word in their name")
    options = parser.parse_args()
    scale, repeats = (10, 1) if options.quick else (1, 3)
    print(f"{'':<44} {'library':>9} {'by hand':>9} a second")
    runs: dict[str, Callable[[Path], None]] = {
        "import": lambda work: _rates(cases.import_case(work, 100_000 // scale, repeats)),
        "orders": lambda work: _rates(cases.order_cases(work, 2_000 // scale, repeats)),
        "reports": lambda work: _rates(cases.report_cases(work, 2_000 // scale, repeats)),
        "settlement": lambda work: _rates(cases.settlement_case(work, 10_000 // scale, repeats)),
        "progress": lambda work: _queries(work, (1_000, 1_000_000 // scale)),
        "memory": lambda work: _memory(work, 1_000_000 // scale),
    }
    for name, run in runs.items():
        if options.only in name:
            with tempfile.TemporaryDirectory(prefix="consignment-bench-") as directory:
                run(Path(directory))


if __name__ == "__main__":
    main()
