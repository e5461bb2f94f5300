"""What the columns of a file have to be, whatever its format."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from consignment.domain.errors import Reason, reason
from consignment.domain.product import REQUIRED_COLUMNS
from consignment.formats.faults import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["column_faults", "uneven"]


def column_faults(columns: Sequence[str], file: str) -> Iterator[Reason]:
    """Give what is wrong with a file's columns: unnamed, repeated, missing."""
    for position, column in enumerate(columns, start=1):
        if not column or column.isspace():
            yield reason("column_unnamed", file=file, position=position)
    for column, times in Counter(columns).items():
        if times > 1 and column and not column.isspace():
            yield reason("column_repeated", file=file, column=shown(column), times=times)
    present = [shown(column) for column in columns[:50]]
    for column in REQUIRED_COLUMNS:
        if column not in columns:
            yield reason("column_missing", file=file, column=column, found=present)


def uneven(columns: Sequence[str], record: Sequence[str]) -> dict[str | None, Any]:
    """Give a row with too few or too many cells, as `csv.DictReader` does."""
    values: dict[str | None, Any] = dict.fromkeys(columns)
    values.update(zip(columns, record, strict=False))
    if len(record) > len(columns):
        values[None] = list(record[len(columns) :])
    return values
