"""Catalogue (商品导入): what partners may sell; import of products."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, overload

from attrs import define, field, frozen

from consignment.domain.errors import Reason, Refused, reason
from consignment.domain.journal import Fact, FactKind
from consignment.domain.partner import not_admitted
from consignment.domain.product import ConsignedProduct, read_row
from consignment.domain.settings import Settings
from consignment.ports.clock import Clock
from consignment.ports.product_rows import ProductRow
from consignment.ports.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from consignment.domain.progress import Tally
    from consignment.ports.storage import Transaction

__all__ = ["Catalogue", "ImportResult", "Packed", "Rejection"]

#: Rows in a transaction: enough to make the commit cheap, few enough to let others in between.
_BATCH = 5_000

T = TypeVar("T")


@frozen
class Rejection:
    """A row that was not imported, with every reason.

    `row` counts the rows of data from 1, `line` is the line of the file it began on. Each reason
    has the `column` and the `value` it is about.
    """

    row: int
    line: int
    reasons: tuple[Reason, ...]


@define
class Packed(Sequence[T]):
    """A sequence kept as a few bytes an item, so that a million of them fit in memory."""

    _pack: Callable[[T], object]
    _unpack: Callable[[Any], T]
    _blocks: list[bytes] = field(factory=list)
    _sizes: list[int] = field(factory=list)

    def extend(self, items: Iterable[T]) -> None:
        """Add items at the end."""
        packed = [self._pack(item) for item in items]
        if packed:
            self._blocks.append(
                json.dumps(packed, ensure_ascii=False, separators=(",", ":")).encode()
            )
            self._sizes.append(len(packed))

    def __len__(self) -> int:
        return sum(self._sizes)

    def __iter__(self) -> Iterator[T]:
        for block in self._blocks:
            for item in json.loads(block):
                yield self._unpack(item)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return list(self)[index]
        wanted = index + len(self) if index < 0 else index
        for block, size in zip(self._blocks, self._sizes, strict=True):
            if 0 <= wanted < size:
                return self._unpack(json.loads(block)[wanted])
            wanted -= size
        raise IndexError(index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # it grows


def _landed() -> Packed[tuple[str, str]]:
    return Packed(list, lambda pair: (pair[0], pair[1]))


def _rejections() -> Packed[Rejection]:
    def pack(each: Rejection) -> object:
        return [each.row, each.line, [[r.code, dict(r.details)] for r in each.reasons]]

    def unpack(plain: Any) -> Rejection:  # noqa: ANN401 - what pack gave
        row, line, reasons = plain
        return Rejection(row, line, tuple(Reason(code, details) for code, details in reasons))

    return Packed(pack, unpack)


@define
class ImportResult:
    """What became of an import's rows.

    `products` has the (number, name) of each row that landed: created, updated or unchanged, in
    the order of the rows. `rejections` has the others.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    products: Packed[tuple[str, str]] = field(factory=_landed)
    rejections: Packed[Rejection] = field(factory=_rejections)

    @property
    def rejected(self) -> int:
        """How many rows were rejected."""
        return len(self.rejections)


@define
class _Batch:
    """Rows that were read: each with the product it gives, or the reasons why it gives none."""

    rows: list[tuple[ProductRow, ConsignedProduct | list[Reason]]]

    @property
    def span(self) -> tuple[int, int]:
        return self.rows[0][0].number, self.rows[-1][0].number


@define
class _Outcome:
    """What a batch's transaction made of its rows; merged into the result after the commit."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    products: list[tuple[str, str]] = field(factory=list)
    rejections: list[Rejection] = field(factory=list)


@frozen
class Catalogue:
    """The use cases of the catalogue."""

    _storage: Storage
    _clock: Clock
    _settings: Settings

    def import_products(
        self,
        partner_id: str,
        rows: Iterable[ProductRow | Mapping[str, Any]],
        *,
        all_or_nothing: bool = False,
        actor: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> ImportResult:
        """Import a partner's products, each row for itself; good rows land although others do not.

        `rows` are streamed in transactions of some thousand rows; a plain mapping counts as a row
        by its place. A number may come once in an import. The same rows again change nothing.
        `progress` is called with the number of rows done after each transaction.

        With `all_or_nothing` everything is one transaction, and `Refused` is raised when any row
        is rejected: a `row_rejected` per row, with `row`, `line` and `reasons`.

        Raises `Refused` (`partner_not_admitted`), and `UnusableInput` when the rows' source finds
        that it cannot be read, before anything is imported.
        """
        if all_or_nothing:
            kept = list(rows) if iter(rows) is rows else rows
            return self._storage.write(
                lambda tx: self._import_whole(tx, partner_id, kept, actor), partner_id=partner_id
            )
        result = ImportResult()
        seen: set[str] = set()
        done = 0
        for batch in _batches(partner_id, rows):
            repeated = _repeated(batch, seen)
            outcome = self._storage.write(
                lambda tx, batch=batch, repeated=repeated: self._import_batch(  # type: ignore[misc] # bound now, used now
                    tx, partner_id, batch, repeated, actor
                ),
                partner_id=partner_id,
            )
            _merge(result, outcome)
            done += len(batch.rows)
            if progress is not None:
                progress(done)
        if not done:
            self._storage.read(lambda tx: self._check_partner(tx, partner_id))
        return result

    def reindex_names(self) -> int:
        """Bring the forms in which names are found up to date; give how many products changed.

        For when they are to be others than when the products were stored: the extra `chinese` was
        installed or removed, or its dictionaries are newer. Until then such products are found as
        they were stored. It goes through all products in transactions of some thousand; it may be
        broken off and begun again, and others may work meanwhile.
        """
        changed = 0
        after: str | None = ""
        while after is not None:
            after, some = self._storage.write(
                lambda tx, after=after: tx.products.reindex(after, _BATCH)  # type: ignore[misc] # bound now, used now
            )
            changed += some
        return changed

    def _import_whole(
        self,
        tx: Transaction,
        partner_id: str,
        rows: Iterable[ProductRow | Mapping[str, Any]],
        actor: str | None,
    ) -> ImportResult:
        result = ImportResult()
        seen: set[str] = set()
        self._check_partner(tx, partner_id)
        for batch in _batches(partner_id, rows):
            repeated = _repeated(batch, seen)
            _merge(result, self._import_batch(tx, partner_id, batch, repeated, actor))
        if result.rejected:
            raise Refused(
                [
                    reason(
                        "row_rejected",
                        row=each.row,
                        line=each.line,
                        reasons=[fault.as_dict() for fault in each.reasons],
                    )
                    for each in result.rejections
                ]
            )
        return result

    def _check_partner(self, tx: Transaction, partner_id: str) -> None:
        today = self._settings.day_of(self._clock.now())
        partner = tx.partners.get([partner_id]).get(partner_id)
        if partner is None or not partner.admitted_on(today):
            raise Refused(
                not_admitted(partner_id[:80], None if partner is None else partner.status)
            )

    def _import_batch(
        self,
        tx: Transaction,
        partner_id: str,
        batch: _Batch,
        repeated: frozenset[int],
        actor: str | None,
    ) -> _Outcome:
        self._check_partner(tx, partner_id)
        owners = _owners(tx, partner_id, batch, repeated)
        own = [number for number, owner in owners.items() if owner == partner_id]
        known = tx.products.get(partner_id, own) if own else {}
        changed_facts: list[Fact] = []
        new: list[ConsignedProduct] = []
        changed: list[ConsignedProduct] = []
        outcome = _Outcome()
        now = self._clock.now()
        for row, read in batch.rows:
            product = read
            if isinstance(product, ConsignedProduct):
                if row.number in repeated:
                    product = [reason("number_repeated", column="number", value=product.number)]
                elif product.number not in owners:
                    new.append(product)
                elif owners[product.number] != partner_id:
                    product = [reason("number_taken", column="number", value=product.number)]
                else:
                    stored, tally = known[product.number]
                    product = _revised(stored, product, tally)
                    if isinstance(product, ConsignedProduct) and product is not stored:
                        changed.append(product)
                        changed_facts.append(_changed(stored, product, now, actor))
            if isinstance(product, ConsignedProduct):
                outcome.products.append((product.number, product.name))
            else:
                outcome.rejections.append(Rejection(row.number, row.line, tuple(product)))
        outcome.created, outcome.updated = len(new), len(changed)
        outcome.unchanged = len(outcome.products) - len(new) - len(changed)
        if new:
            tx.products.add(new)
        if changed:
            tx.products.save(changed)
        imported = [_imported(partner_id, batch, outcome, now, actor)] if new or changed else []
        tx.journal.append([*changed_facts, *imported])
        return outcome


def _owners(
    tx: Transaction, partner_id: str, batch: _Batch, repeated: frozenset[int]
) -> dict[str, str]:
    """Tell whose the batch's numbers are that somebody has; the others are claimed."""
    numbers = {
        product.number
        for row, product in batch.rows
        if isinstance(product, ConsignedProduct) and row.number not in repeated
    }
    owners = tx.products.owners(numbers)
    missing = numbers - owners.keys()
    return owners | tx.products.claim(partner_id, missing) if missing else owners


def _revised(
    stored: ConsignedProduct, row: ConsignedProduct, tally: Tally
) -> ConsignedProduct | list[Reason]:
    """Give the stored product itself when the row says nothing new."""
    if stored.same_as(row):
        return stored
    return stored.revised(row, ordered=tally.ordered > 0)


def _imported(
    partner_id: str, batch: _Batch, outcome: _Outcome, now: datetime, actor: str | None
) -> Fact:
    first, last = batch.span
    data = {
        "created": outcome.created,
        "updated": outcome.updated,
        "unchanged": outcome.unchanged,
        "rejected": len(outcome.rejections),
        "first_row": first,
        "last_row": last,
    }
    return Fact(FactKind.PRODUCTS_IMPORTED, now, partner_id, actor=actor, data=data)


def _merge(result: ImportResult, outcome: _Outcome) -> None:
    result.created += outcome.created
    result.updated += outcome.updated
    result.unchanged += outcome.unchanged
    result.products.extend(outcome.products)
    result.rejections.extend(outcome.rejections)


def _batches(partner_id: str, rows: Iterable[ProductRow | Mapping[str, Any]]) -> Iterator[_Batch]:
    numbered = (
        ProductRow(i, i, row) if isinstance(row, Mapping) else row
        for i, row in enumerate(rows, start=1)
    )
    while chunk := list(islice(numbered, _BATCH)):
        yield _Batch(
            [
                (row, read_row(partner_id, row.values) if row.fault is None else [row.fault])
                for row in chunk
            ]
        )


def _repeated(batch: _Batch, seen: set[str]) -> frozenset[int]:
    """Find the rows whose number came before in the import, and remember the others."""
    found = []
    for row, product in batch.rows:
        if isinstance(product, ConsignedProduct):
            if product.number in seen:
                found.append(row.number)
            else:
                seen.add(product.number)
    return frozenset(found)


_COMPARED = (
    "name",
    "unit",
    "unit_places",
    "currency",
    "agreed_price",
    "gtin",
    "category",
    "on_sale_from",
    "on_sale_until",
    "attributes",
)


def _changed(was: ConsignedProduct, now: ConsignedProduct, at: datetime, actor: str | None) -> Fact:
    changes = {
        column: [_plain(getattr(was, column)), _plain(getattr(now, column))]
        for column in _COMPARED
        if getattr(was, column) != getattr(now, column)
    }
    data = {"product_number": now.number, "changes": changes}
    return Fact(FactKind.PRODUCT_CHANGED, at, now.partner_id, actor=actor, data=data)


def _plain(value: Any) -> object:  # noqa: ANN401 - a column of a product
    if value is None or isinstance(value, int):
        return value
    return dict(value) if isinstance(value, tuple) else str(value)
