"""Rows of Parquet files."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa  # type: ignore[import-untyped] # it has no types
import pyarrow.compute as pc  # type: ignore[import-untyped] # likewise
import pyarrow.parquet as pq  # type: ignore[import-untyped] # likewise
from attrs import frozen

from consignment.adapters.files.cells import number_text, plain
from consignment.adapters.files.columns import column_faults
from consignment.adapters.files.footer import MAGIC, TRAILER, Chunk, Footer, read_footer
from consignment.adapters.files.limits import Limits
from consignment.adapters.files.package import malformed
from consignment.adapters.files.pages import NotAPage, Page, pages_of
from consignment.domain.errors import Reason, UnusableInput, reason
from consignment.formats.faults import shown
from consignment.ports.product_rows import ProductRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["open_parquet"]

#: So many rows are taken at once, or fewer, so that their texts need no more than so many bytes.
_BATCH = 4096
_BATCH_BYTES = 32 * 1024 * 1024
#: A dictionary up to this size is not looked into: no text in it is longer.
_SMALL_DICTIONARY = 4096
#: A column is read through a buffer of so many bytes, not in one piece.
_BUFFER = 256 * 1024
#: The longest decimal, in bytes: that of 256 bits.
_DECIMAL_BYTES = 32

_Column = tuple[list[Any], dict[int, Reason]]


def open_parquet(
    file: BinaryIO, name: str, limits: Limits
) -> tuple[str, tuple[str, ...], Callable[[BinaryIO], Iterator[ProductRow]]]:
    """Look through a Parquet file; give its encoding, its columns, and what passes over its rows.

    It is unpacked once, page by page, before the first row is given: what is broken shows then.
    """
    with _reading(name):
        source = _opened(file, name, limits)
        columns = source.check_schema()
        longest = source.check_pages(file)
        batch_rows = min(_BATCH, max(1, _BATCH_BYTES // max(1, longest)))
        source.check_rows(file, batch_rows)
    return "utf-8", columns, lambda again: source.rows(again, batch_rows)


def _opened(file: BinaryIO, name: str, limits: Limits) -> _Source:
    """Read the footer, and let the library make its objects of what was found to agree in it."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - TRAILER.size))
    trailer = file.read()
    if len(trailer) < TRAILER.size:
        raise malformed(name, "footer", "cut off")
    length, magic = TRAILER.unpack(trailer)
    if magic == b"PARE":
        raise UnusableInput(reason("file_encrypted", file=name))
    if magic != MAGIC:
        raise malformed(name, "footer", "does not end as Parquet does")
    limits.check("footer_bytes", length, name, "footer")
    begin = size - TRAILER.size - length
    if begin < len(MAGIC):
        raise malformed(name, "footer", f"{length} bytes, of {size}")
    file.seek(begin)
    footer = read_footer(file.read(length), begin, name, limits)
    return _Source(name, limits, footer, pq.read_metadata(io.BytesIO(footer.clean)))


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise malformed(name, "parquet", str(error)) from error


@frozen
class _Source:
    name: str
    limits: Limits
    footer: Footer
    metadata: pq.FileMetaData

    def check_schema(self) -> tuple[str, ...]:
        """Check the columns, and give their names."""
        schema = self.schema
        faults = list(column_faults(schema.names, self.name))
        faults += [
            reason(
                "column_type_unsupported",
                file=self.name,
                column=shown(each.name),
                type=shown(str(each.type)),
            )
            for each in schema
            if _reader(each.type) is None
        ]
        if faults:
            raise UnusableInput(faults)
        return tuple(schema.names)

    @property
    def schema(self) -> pa.Schema:
        """The columns and their types."""
        return self.metadata.schema.to_arrow_schema()

    def check_pages(self, file: BinaryIO) -> int:
        """Check what the pages unpack to, by their own headers, and not by the metadata's sums.

        Gives how many bytes the texts of one row can have that are not as long in the file.
        """
        pages = longest = 0
        schema = self.schema
        for group, (number, chunks) in enumerate(self.footer.groups.items()):
            all_bytes = held_bytes = repeated_bytes = 0
            for chunk, field in zip(chunks, schema, strict=True):
                place = f"row group {number}, column {shown(field.name)}"
                if pa.types.is_decimal(field.type) and chunk.value_bytes > _DECIMAL_BYTES:
                    raise malformed(self.name, place, f"decimals of {chunk.value_bytes} bytes")
                found: list[Page] = []
                for page in self._pages(file, chunk, place):
                    pages += 1
                    self.limits.check("pages", pages, self.name, place)
                    all_bytes += page.size
                    self.limits.check("row_group_bytes", all_bytes, self.name, place)
                    # A dictionary is held beside the page that refers to it.
                    found = sorted([*found, page])[-2:]
                    held = held_bytes + sum(each.size for each in found)
                    self.limits.check("page_bytes", held, self.name, place)
                    if _is_text(field.type) and (page.is_delta or page.is_dictionary):
                        size = page.size
                        if page.is_dictionary and size > _SMALL_DICTIONARY:
                            size = self._longest_in_dictionary(file, group, field.name)
                            self.limits.check("cell_characters", size, self.name, place)
                        repeated_bytes += size
                held_bytes += sum(each.size for each in found)
            longest = max(longest, repeated_bytes)
        return longest

    def _pages(self, file: BinaryIO, chunk: Chunk, place: str) -> Iterator[Page]:
        try:
            yield from pages_of(file, chunk.begin, chunk.end)
        except NotAPage as error:
            raise malformed(self.name, place, f"no page at byte {error.args[0]}") from error

    def check_rows(self, file: BinaryIO, batch_rows: int) -> None:
        """Unpack everything, and check how long the texts are, before they are texts of Python."""
        rows = 0
        for batch in self.batches(file, batch_rows):
            batch.validate(full=True)
            for name, values in zip(batch.schema.names, batch.columns, strict=True):
                texts = values.dictionary if pa.types.is_dictionary(values.type) else values
                if _is_text(texts.type):
                    longest = pc.max(pc.binary_length(texts)).as_py() or 0
                    place = f"rows {rows + 1} to {rows + batch.num_rows}, column {shown(name)}"
                    self.limits.check("cell_characters", longest, self.name, place)
            rows += batch.num_rows
        if rows != self.footer.rows:
            raise malformed(self.name, "rows", f"{rows}, not {self.footer.rows}")

    def batches(self, file: BinaryIO, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Read the rows in batches."""
        return self._parquet(file).iter_batches(batch_rows, use_threads=False)  # type: ignore[no-any-return] # it has no types

    def _parquet(self, file: BinaryIO, **options: Any) -> pq.ParquetFile:  # noqa: ANN401 - its own
        file.seek(0)
        return pq.ParquetFile(
            file, metadata=self.metadata, pre_buffer=False, buffer_size=_BUFFER, **options
        )

    def _longest_in_dictionary(self, file: BinaryIO, group: int, column: str) -> int:
        """Give the length in bytes of the longest text in a column's dictionary."""
        parquet = self._parquet(file, read_dictionary=[column])
        for batch in parquet.iter_batches(1, [group], [column], use_threads=False):
            lengths = pc.binary_length(batch.column(0).dictionary)
            return int(pc.max(lengths).as_py() or 0)
        return 0

    def rows(self, file: BinaryIO, batch_rows: int) -> Iterator[ProductRow]:
        """Pass over the rows."""
        before = 0
        for batch in self.batches(file, batch_rows):
            names = batch.schema.names
            columns = [_column(name, batch.column(i)) for i, name in enumerate(names)]
            faults: dict[int, Reason] = {}
            for _, bad in reversed(columns):
                faults.update(bad)
            records = zip(*(values for values, _ in columns), strict=True)
            for i, record in enumerate(records):
                number = before + i + 1
                if i in faults:
                    yield ProductRow(number, number, {}, faults[i])
                else:
                    yield ProductRow(number, number, dict(zip(names, record, strict=True)))
            before += batch.num_rows


def _column(name: str, values: pa.Array) -> _Column:
    """Give a column's cells as text, and what is wrong with some of them, by their place."""
    read = _reader(values.type)
    assert read is not None  # noqa: S101 - the schema was checked
    texts = read(values)
    bad: dict[int, Reason] = {}
    absent = texts.count(None)
    if absent > values.null_count:
        for i, value in enumerate(values):
            if texts[i] is None and value.is_valid:
                bad[i] = reason("digits_lost", column=shown(name), value=str(value))
    return (["" if text is None else text for text in texts] if absent else texts), bad


# How the cells of a type become text.


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _reader(kind: pa.DataType) -> Callable[[pa.Array], list[str | None]] | None:
    """Give what reads an array of a type; None for a type that is no single value.

    It gives None for what is null, and for a number that cannot be told exactly.
    """
    if pa.types.is_dictionary(kind):
        return _shared if _is_text(kind.value_type) else None
    return next((read for is_kind, read in _READERS if is_kind(kind)), None)


def _as_they_are(values: pa.Array) -> list[str | None]:
    texts: list[str | None] = values.to_pylist()
    return texts


def _shared(values: pa.DictionaryArray) -> list[str | None]:
    """Make each text once, and only those that are referred to."""
    used = pc.unique(values.indices)
    texts = dict(zip(used.to_pylist(), values.dictionary.take(used).to_pylist(), strict=True))
    return [texts[i] for i in values.indices.to_pylist()]


def _cast(values: pa.Array) -> list[str | None]:
    return _as_they_are(values.cast(pa.string()))


def _moments(values: pa.Array) -> list[str | None]:
    """Give a moment at midnight, without a time zone, as the day; others as they are."""
    moments = (None if each is None else each.partition(" ") for each in _cast(values))
    return [
        None if each is None else each[0] if not each[2].strip("0:.") else f"{each[0]}T{each[2]}"
        for each in moments
    ]


def _floats(values: pa.Array) -> list[str | None]:
    return [None if each is None else number_text(each) for each in values.to_pylist()]


def _short_floats(values: pa.Array) -> list[str | None]:
    """Numbers of single precision: what is short in that is long when it is made double."""
    return [None if each is None else number_text(float(each)) for each in _cast(values)]


def _decimals(values: pa.Array) -> list[str | None]:
    return [None if each is None else plain(each) for each in values.to_pylist()]


_READERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[str | None]]], ...]
_READERS = (
    (_is_text, _as_they_are),
    (pa.types.is_null, _as_they_are),
    (pa.types.is_integer, _cast),
    (pa.types.is_boolean, _cast),
    (pa.types.is_date, _cast),
    (pa.types.is_timestamp, _moments),
    (pa.types.is_time, _moments),
    (pa.types.is_float64, _floats),
    (pa.types.is_float32, _short_floats),
    (pa.types.is_decimal, _decimals),
)
