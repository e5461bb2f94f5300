"""Reads Parquet files with damage, in a process of its own: what ends it is a failure, not a crash.

    python damaging.py FOLDER FIRST_SEED COUNT

damages a file in `COUNT` ways, opens each, and prints one line of JSON: how often there were rows
and refusals by code. Before each the seed goes to `FOLDER/seed`, so that the last one is known.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from copy import deepcopy
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped] # it has no types
import pyarrow.parquet as pq  # type: ignore[import-untyped] # likewise

from consignment.adapters.files import open_product_rows
from consignment.adapters.files.footer import FOOTER, MAGIC, TRAILER
from consignment.adapters.files.thrift import read, write
from consignment.domain.errors import UnusableInput

__all__ = ["TABLES", "damaged"]

_COUNT = 50
_COLUMNS: dict[str, Any] = {
    "number": [f"A-{i}" for i in range(_COUNT)],
    "name": ["苹果", None] * (_COUNT // 2),
    "unit": ["BX"] * _COUNT,
    "currency": ["CNY"] * _COUNT,
    "agreed_price": [Decimal("68.80")] * _COUNT,
    "since": [date(2026, 9, 1), None] * (_COUNT // 2),
    "rate": [0.5 * i for i in range(_COUNT)],
    "flag": [True, False] * (_COUNT // 2),
    "places": [3] * _COUNT,
}
#: How the files are written that are damaged.
TABLES: tuple[dict[str, Any], ...] = (
    {},
    {"compression": "gzip", "data_page_version": "2.0", "row_group_size": 20},
    {"use_dictionary": False, "write_page_index": True, "compression": "zstd"},
    {
        "use_dictionary": False,
        "compression": "none",
        "column_encoding": {"number": "DELTA_BYTE_ARRAY", "places": "DELTA_BINARY_PACKED"},
        "store_schema": False,
    },
)


def damaged(good: bytes, seed: int) -> bytes:
    """Damage a file: its bytes, anywhere or in the footer, or what the footer says."""
    random = Random(seed)
    footer = len(good) - TRAILER.size - int.from_bytes(good[-8:-4], "little")
    if random.random() < 0.5:
        fields, _ = read(good[footer:], FOOTER)
        for _ in range(random.choice((1, 1, 2))):
            _say_otherwise(fields, random)
        told = write(fields, FOOTER)
        return good[:footer] + told + TRAILER.pack(len(told), MAGIC)
    data = bytearray(good)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        begin = random.choice((0, footer, footer))
        at = random.randrange(begin, len(good))
        size = random.randint(1, 4)
        match random.randrange(8):
            case 0:
                del data[at : at + size]
            case 1:
                data[at:at] = random.randbytes(size)
            case 2 | 3:
                data[at : at + 1] = bytes([random.choice((0, 1, 127, 128, 255))])
            case _:
                data[at : at + size] = random.randbytes(size)
    if random.random() < 0.05:
        del data[random.randrange(len(data)) :]
    return bytes(data)


def _say_otherwise(fields: dict[int, Any], random: Random) -> None:
    """Change one thing that a footer says, and leave it well-formed."""
    places: list[tuple[Any, Any]] = []

    def visit(value: dict[int, Any] | list[Any]) -> None:
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            places.append((value, key))
            if isinstance(each, (dict, list)):
                visit(each)

    visit(fields)
    holder, key = random.choice(places)
    value = holder[key]
    if random.random() < 0.2:
        del holder[key]
    elif isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int):
        near = (value + 1, value - 1, value * 2, random.randrange(16))
        holder[key] = random.choice((*near, 0, -1, 2**31 - 1, 2**62, random.randrange(5000)))
    elif isinstance(value, bytes):
        cut = random.randrange(len(value) + 1)
        holder[key] = value[:cut] + random.randbytes(random.randrange(4)) + value[cut + 1 :]
    elif isinstance(value, list) and value:
        value.insert(random.randrange(len(value)), deepcopy(random.choice(value)))


def main(folder: Path, first: int, count: int) -> None:
    """Damage files and open them."""
    found: Counter[str] = Counter()
    goods = []
    for options in TABLES:
        pq.write_table(pa.table(_COLUMNS), folder / "good.parquet", **options)
        goods.append((folder / "good.parquet").read_bytes())
    for seed in range(first, first + count):
        (folder / "seed").write_text(str(seed))
        path = folder / "damaged.parquet"
        path.write_bytes(damaged(goods[seed % len(goods)], seed))
        try:
            rows = list(open_product_rows(path, kind="parquet"))
        except UnusableInput as error:
            found.update(each.code for each in error.reasons)
        else:
            assert len(rows) <= 1_000_000
            found["rows"] += 1
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
