"""Quotas: money limits on what may be on consignment at once, per scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from consignment.domain.errors import InvalidValue, Reason, reason
from consignment.domain.money import Money, decimal_text, minor_places
from consignment.domain.text import id_fault, text_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Quota", "QuotaKey", "check_quota_scope", "exceeded"]

#: What a quota counts for: a scope (`total`, `business_line:X`, `partner:ID`, `product:NUMBER`)
#: and a currency.
QuotaKey = tuple[str, str]

_MAX_NUMBER = 64


def check_quota_scope(scope: str) -> str:
    """Return a well-formed scope, else raise `InvalidValue` (`scope_invalid`)."""
    kind, _, name = scope.partition(":")
    good = (
        scope == "total"
        or (kind in {"business_line", "partner"} and not id_fault(name))
        or (kind == "product" and not text_fault(name, _MAX_NUMBER))
    )
    if not good:
        raise InvalidValue(reason("scope_invalid", scope=scope[:80]))
    return scope


def _scope(instance: object, attribute: object, value: str) -> None:  # noqa: ARG001 - attrs' signature
    check_quota_scope(value)


@frozen
class Quota:
    """A limit and what of it is used, in minor units of `currency`.

    `used_minor` is what open orders reserve in the scope; it may exceed a limit that was lowered.
    """

    scope: str = field(validator=_scope)
    currency: str
    limit_minor: int
    used_minor: int = 0

    def __attrs_post_init__(self) -> None:
        minor_places(self.currency)
        if self.limit_minor < 0:
            raise InvalidValue(reason("limit_negative", scope=self.scope))

    @classmethod
    def of(cls, scope: str, limit: Money) -> Quota:
        """Make a quota of a scope with a limit, nothing used yet."""
        return cls(scope, limit.currency, limit.minor)

    @property
    def key(self) -> QuotaKey:
        """Scope and currency: what identifies a quota."""
        return self.scope, self.currency

    @property
    def limit(self) -> Money:
        """The limit."""
        return Money(self.limit_minor, self.currency)

    @property
    def used(self) -> Money:
        """What open orders reserve."""
        return Money(self.used_minor, self.currency)

    @property
    def available(self) -> Money:
        """What more may be ordered: limit less used, never below zero."""
        return Money(max(0, self.limit_minor - self.used_minor), self.currency)


def exceeded(
    quotas: Iterable[Quota], wanted: Mapping[QuotaKey, int], taken: Mapping[QuotaKey, int]
) -> list[Reason]:
    """Name every quota that an order asks too much of.

    `wanted` is what the order would reserve per key, in minor units; `taken` what was already
    reserved by others in the same transaction and is not in `used_minor` yet.
    """
    faults = []
    for quota in quotas:
        amount = wanted.get(quota.key, 0)
        free = max(0, quota.limit_minor - quota.used_minor - taken.get(quota.key, 0))
        if amount > free:
            places = minor_places(quota.currency)
            faults.append(
                reason(
                    "quota_exceeded",
                    scope=quota.scope,
                    available=decimal_text(free, places),
                    wanted=decimal_text(amount, places),
                    limit=decimal_text(quota.limit_minor, places),
                    currency=quota.currency,
                )
            )
    return faults
