"""The memory that an import takes, in a process of its own."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from benchmarks import bank


def main(url: str, file: str, count: str) -> None:
    """Import so many rows through the API; print the resident memory's peak in MB."""
    with bank.opened(url) as desk:
        result = desk.catalogue.import_products(bank.PARTNER, desk.product_rows(Path(file)))
        assert result.created == int(count)
        assert sum(1 for _ in result.products) == int(count)
    print(_peak_mb())


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        # What `getrusage` tells includes the process that this one was forked from.
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
