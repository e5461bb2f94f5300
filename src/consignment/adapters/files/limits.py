"""How much a product file may ask for before it is refused."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge

from consignment.domain.errors import UnusableInput, reason

__all__ = ["Limits"]

_KIB = 1024
_MIB = 1024 * _KIB


def _limit(default: int) -> int:
    at_least_one: int = field(default=default, validator=ge(1))
    return at_least_one


@frozen
class Limits:
    """Caps on XLSX and Parquet files, which can unpack to far more than they are.

    Each is checked against what is really there, never against what the file says of itself, and
    before a library builds anything of it. What exceeds one is refused as `limit_exceeded`, with
    `cap` (the name of the field here), `limit`, `found` and `place`. CSV and JSON Lines are read
    as they are, in bounded memory, and need no caps but those of the line.
    """

    #: The columns of a file, or of a sheet that has values that far to the right.
    columns: int = _limit(256)
    #: The characters of one cell, which is also Excel's limit; in Parquet the bytes.
    cell_characters: int = _limit(32_767)

    #: XLSX: the files within the workbook.
    entries: int = _limit(2_000)
    #: XLSX: the bytes of all that is unpacked of a workbook: the sheet, texts, styles.
    unpacked_bytes: int = _limit(512 * _MIB)
    #: XLSX: so many times the file's size may be unpacked; what is below 8 MiB always may.
    ratio: int = _limit(100)
    #: XLSX: the unpacked bytes of the table of shared texts, which is held in memory.
    shared_bytes: int = _limit(128 * _MIB)
    #: XLSX: the texts in that table.
    shared_texts: int = _limit(2 * 1_048_576)
    #: XLSX: the unpacked bytes of each part that tells about the sheets: names, styles.
    about_bytes: int = _limit(8 * _MIB)
    #: XLSX: the last row of the sheet, empty ones counted.
    rows: int = _limit(1_048_576)
    #: XLSX: the characters of all cells of the sheet; a shared text counts in each of its cells.
    text_characters: int = _limit(256 * _MIB)
    #: XLSX: how deep elements may be nested.
    depth: int = _limit(32)

    #: Parquet: the rows of the file.
    parquet_rows: int = _limit(20_000_000)
    #: Parquet: the bytes of the metadata at the end of the file.
    footer_bytes: int = _limit(_MIB)
    #: Parquet: the uncompressed bytes of a row group.
    row_group_bytes: int = _limit(1_024 * _MIB)
    #: Parquet: the uncompressed bytes of the two largest pages (one may be a dictionary) of each
    #: column of a row group, together: so much of it is held in memory at once.
    page_bytes: int = _limit(128 * _MIB)
    #: Parquet: the pages of the file.
    pages: int = _limit(200_000)

    def check(self, cap: str, found: int, file: str, place: str) -> None:
        """Refuse what exceeds the cap of that name, with `UnusableInput` (`limit_exceeded`)."""
        limit: int = getattr(self, cap)
        if found > limit:
            raise UnusableInput(
                reason("limit_exceeded", file=file, cap=cap, limit=limit, found=found, place=place)
            )
