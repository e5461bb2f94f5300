"""The memory that an import takes, in a process of its own."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from benchmarks import bank


def main(directory: str, count: str) -> None:
    """Import so many rows through the API; print the resident memory's peak in MB."""
    work = Path(directory)
    with bank.opened(work / "memory.db") as desk:
        rows = desk.product_rows(work / "memory.csv")
        result = desk.catalogue.import_products(bank.PARTNER, rows)
        assert result.created == int(count)
        assert sum(1 for _ in result.products) == int(count)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
