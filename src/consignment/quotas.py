"""Quotas (额度): how much may be on consignment at once, and how much is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from consignment.domain.errors import InvalidValue, NotFound, Reason, reason
from consignment.domain.journal import Fact, FactKind
from consignment.domain.message import BANK
from consignment.ports.clock import Clock
from consignment.ports.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.domain.quota import Quota
    from consignment.ports.storage import Transaction

__all__ = ["Quotas"]

#: The largest that a store keeps.
_NO_LIMIT = 9_000_000_000_000_000_000


@frozen
class Quotas:
    """The use cases of quotas. Orders reserve and release in `dispatch`, `reporting`, …."""

    _storage: Storage
    _clock: Clock

    def set(self, quotas: Sequence[Quota], *, actor: str | None = None) -> Sequence[Quota]:
        """Set limits, all or none; what open orders reserve already counts as used.

        A limit below what is used is allowed: nothing new fits until enough is released. Raises
        `InvalidValue` (`scope_repeated`) and `NotFound` (`partner_unknown`, `product_unknown`).
        """
        times = Counter(quota.key for quota in quotas)
        repeated = [
            reason("scope_repeated", scope=scope, currency=currency)
            for (scope, currency), count in times.items()
            if count > 1
        ]
        if repeated:
            raise InvalidValue(repeated)
        now = self._clock.now()

        def work(tx: Transaction) -> Sequence[Quota]:
            if begun:
                tx.quotas.hold()
            owners = _owners(tx, quotas)
            stored = []
            for quota in sorted(quotas, key=lambda each: _place(each, owners)):
                # Put first, so that it is held for orders that count meanwhile.
                tx.quotas.put(evolve(quota, used_minor=0), owners[quota.scope])
                used = tx.quotas.reserved(quota.scope, quota.currency)
                counted = evolve(quota, used_minor=used)
                tx.quotas.put(counted, owners[quota.scope])
                stored.append(counted)
            stored.sort(key=lambda each: each.key)
            tx.journal.append(
                [
                    Fact(
                        FactKind.QUOTA_SET,
                        now,
                        owners[each.scope] or BANK,
                        actor=actor,
                        data={
                            "scope": each.scope,
                            "limit": str(each.limit),
                            "used": str(each.used),
                            "currency": each.currency,
                        },
                    )
                    for each in stored
                ]
            )
            return stored

        begun = self._storage.write(lambda tx: _begin(tx, quotas))
        return self._storage.write(work)

    def show(self) -> Sequence[Quota]:
        """List all quotas with what is used of them, by scope and currency."""
        return self._storage.read(lambda tx: tx.quotas.list())


def _begin(tx: Transaction, quotas: Sequence[Quota]) -> bool:
    """Make the rows of quotas that are not there, without a limit, for orders to find.

    They are committed before open orders are summed up: see `QuotaBook.hold`. Until then they
    stand in the middle: orders that were never added may be released. Give whether there were any,
    or some were left like that.
    """
    owners = _owners(tx, quotas)
    there = {quota.key for quota in tx.quotas.list() if quota.limit_minor != _NO_LIMIT}
    begun = [quota for quota in quotas if quota.key not in there]
    for quota in sorted(begun, key=lambda each: _place(each, owners)):
        row = evolve(quota, limit_minor=_NO_LIMIT, used_minor=_NO_LIMIT // 2)
        tx.quotas.put(row, owners[quota.scope])
    return bool(begun)


def _place(quota: Quota, owners: dict[str, str | None]) -> tuple[str, str, str]:
    """Give where a quota comes among those that are touched: the bank's own are first."""
    return (owners[quota.scope] or "", *quota.key)


def _owners(tx: Transaction, quotas: Sequence[Quota]) -> dict[str, str | None]:
    """Find the partner that each scope belongs to; None for bank-wide ones."""
    names = {quota.scope: quota.scope.partition(":") for quota in quotas}
    partner_ids = [name for kind, _, name in names.values() if kind == "partner"]
    numbers = [name for kind, _, name in names.values() if kind == "product"]
    partners = tx.partners.get(partner_ids) if partner_ids else {}
    products = tx.products.owners(numbers) if numbers else {}
    owners: dict[str, str | None] = {}
    faults: list[Reason] = []
    for scope, (kind, _, name) in names.items():
        owners[scope] = None
        if kind == "partner":
            owners[scope] = name
            if name not in partners:
                faults.append(reason("partner_unknown", partner_id=name, scope=scope))
        elif kind == "product":
            owners[scope] = products.get(name)
            if name not in products:
                faults.append(reason("product_unknown", product_number=name, scope=scope))
    if faults:
        raise NotFound(faults)
    return owners
