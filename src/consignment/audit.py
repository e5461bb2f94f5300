"""Audit: what happened, fact by fact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from consignment.ports.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from consignment.domain.journal import Fact

__all__ = ["Audit"]

_PAGE = 1000


@frozen
class Audit:
    """Reads the journal."""

    _storage: Storage

    def facts(self, *, order_id: str | None = None) -> Iterator[Fact]:
        """Give the facts, of one order or all, in the order they happened; page by page."""
        offset = 0
        while True:
            page = self._page(order_id, offset)
            yield from page
            if len(page) < _PAGE:
                return
            offset += len(page)

    def _page(self, order_id: str | None, offset: int) -> Sequence[Fact]:
        return self._storage.read(
            lambda tx: tx.journal.read(order_id=order_id, offset=offset, limit=_PAGE)
        )
