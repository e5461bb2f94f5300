"""Print the figures: `python -m benchmarks [--quick] [--only WORD] [--engine ENGINE]…`.

Ratios within one run count; the machine's own speed changes from run to run.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import bank, cases, crowd, imports, names, queries, scale
from benchmarks.databases import ENGINES, Databases, working
from consignment.ports.name_forms import AsWritten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.cases import Figure
    from benchmarks.queries import QueryFigure


def _rates(figures: Iterator[Figure]) -> None:
    for figure in figures:
        verdict = ""
        if figure.aim is not None:
            reached = "reached" if figure.ratio >= figure.aim else "BELOW THE AIM"
            verdict = f"  aim {figure.aim:.1f}  {reached}"
        spread = f"({min(figure.ratios):.2f} to {max(figure.ratios):.2f})"
        print(
            f"{figure.name:<52} {figure.library:>9,.0f} {figure.handwritten:>9,.0f} "
            f"{figure.units:<6} {figure.ratio:>6.2f} {spread:<15}{verdict}",
            flush=True,
        )


def _queries(figures: Iterator[QueryFigure]) -> None:
    for figure in figures:
        verdict = ""
        if figure.aim is not None:
            reached = "reached" if figure.ratio <= figure.aim else "ABOVE THE AIM"
            verdict = f"  aim {figure.aim:.1f}  {reached}"
        print(
            f"{figure.name:<52} {figure.library_us:>7.0f}µs {figure.other_us:>7.0f}µs "
            f"{figure.ratio:>6.2f} times (p99 {figure.library_p99_us:.0f} and "
            f"{figure.other_p99_us:.0f}){verdict}",
            flush=True,
        )


def _crowd(databases: Databases, count: int) -> None:
    for each in crowd.crowds(databases, count):
        verdict = ""
        if databases.engine == "postgresql" and "100" not in each.kind:
            bounded = each.machine_cpu >= 0.85 * each.cores
            verdict = "reached" if each.growth >= 4 else "BELOW THE AIM"
            verdict = f"  aim 4.0  {verdict}{', bounded by the CPU' if bounded else ''}"
        print(
            f"{f'{each.kind}, 8 processes ÷ 1':<52} {each.many:>9,.0f} {each.one:>9,.0f} "
            f"{'orders' if 'orders' in each.kind else 'lines':<6} {each.growth:>6.2f}{verdict}"
        )
        flushes = (
            "" if each.flushes is None else f"; {each.flushes:,.0f} flushes of the log a second"
        )
        print(
            f"  of {each.cores} cores: clients {each.clients_cpu:.2f}, "
            f"server {each.server_cpu:.2f}, whole machine {each.machine_cpu:.2f}{flushes}",
            flush=True,
        )


def _memory(databases: Databases, folder: Path, count: int) -> None:
    url = bank.founded(databases.create("memory"))
    bank.product_file(folder / "memory.csv", count)
    command = [
        sys.executable,
        "-m",
        "benchmarks.memory",
        url,
        str(folder / "memory.csv"),
        str(count),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak = float(done.stdout)
    verdict = "reached" if peak < 300 else "ABOVE THE AIM"
    print(f"{f'memory of importing {count:,} rows':<52} {peak:.0f} MB  aim 300  {verdict}")


def _measure(databases: Databases, folder: Path, only: str, *, quick: bool) -> None:
    less, repeats = (10, 1) if quick else (1, 3)
    largest = 100_000 if quick else 10_000_000
    runs: dict[str, Callable[[], object]] = {
        "orders": lambda: _rates(cases.order_cases(databases, 2_000 // less, repeats)),
        "reports": lambda: _rates(cases.report_cases(databases, 2_000 // less, repeats)),
        "crowd": lambda: _crowd(databases, 8_000 // less),
        "progress": lambda: _queries(queries.progress(databases, 100_000 // less)),
        "import": lambda: _rates(
            imports.import_cases(
                databases, folder, (100_000 // less, 50_000 if quick else 1_000_000)
            )
        ),
        "settlement": lambda: _rates(
            cases.settlement_cases(databases, 100_000 // less, min(repeats, 2))
        ),
        "scale": lambda: _queries(scale.measured(databases, largest, keep=not quick)),
        "room": lambda: scale.lived(databases, 300 // less, keep=not quick),
        "names": lambda: names.run(databases.engine, 1_000_000 // less, AsWritten()),
        "memory": lambda: _memory(databases, folder, 1_000_000 // less),
    }
    for name, run in runs.items():
        if only in name:
            run()


def main() -> None:
    """Run the cases that were asked for, on the engines that are there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, once")
    parser.add_argument("--only", default="", help="only cases with this word in their name")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="several may be given")
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("SQLAlchemy", "psycopg", "PyMySQL"))
    )
    for engine in options.engine or ENGINES:
        with working(engine) as databases, tempfile.TemporaryDirectory() as folder:
            if why := databases.missing():
                print(f"{engine} is not there: {why}")
                continue
            print(
                f"\n{databases.described():<52} {'library':>9} {'by hand':>9} a second", flush=True
            )
            _measure(databases, Path(folder), options.only, quick=options.quick)


if __name__ == "__main__":
    main()
