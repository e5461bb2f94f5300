"""Every error that the library raises on purpose; one root.

    ConsignmentError
    ├── Refused                     a rule of the business says no; carries every reason
    │   ├── InvalidValue            a value that can never be right (no such currency, …)
    │   ├── NotFound                nothing has that id or number
    │   ├── Conflict                the id was used before, with other content
    │   └── IllegalTransition       the thing is in a state in which this cannot happen
    ├── UnusableInput               a file or document that cannot be read as what it should be
    ├── StorageError                the store could not do it; nothing of the transaction stands
    │   ├── StaleWrite              somebody else changed it since it was read
    │   ├── DuplicateKey            something with that key is there already
    │   ├── StorageBusy             locked by others for too long; may be tried again
    │   ├── StorageUnreachable      no connection, or it was lost; may be tried again
    │   ├── StorageReadOnly         it can be read but not written
    │   ├── StorageFull             no room
    │   └── StorageUnusable         not a database of ours
    │       ├── SchemaMissing       no schema yet
    │       ├── SchemaOutdated      to be upgraded first
    │       └── SchemaNewer         made by a later version of the library
    ├── DeliveryFailed              a message could not be handed over; it is tried again
    └── CreditFailed                an account could not be credited; it is tried again

A refusal is not a crash: it is an answer, and the state is as before. `Refused.reasons` tells
each reason by a stable code with the ids and figures behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Conflict",
    "ConsignmentError",
    "CreditFailed",
    "DeliveryFailed",
    "DuplicateKey",
    "IllegalTransition",
    "InvalidValue",
    "NotFound",
    "Reason",
    "Refused",
    "SchemaMissing",
    "SchemaNewer",
    "SchemaOutdated",
    "StaleWrite",
    "StorageBusy",
    "StorageError",
    "StorageFull",
    "StorageReadOnly",
    "StorageUnreachable",
    "StorageUnusable",
    "UnusableInput",
    "reason",
]


@frozen
class Reason:
    """One reason for a refusal: a stable code, and the ids and figures behind it.

    `details` holds only text, whole numbers, booleans, None and lists of them; amounts and
    quantities are decimal text (`"60000.00"`).
    """

    code: str
    details: Mapping[str, Any] = field(factory=dict, hash=False)

    def as_dict(self) -> dict[str, Any]:
        """Give the reason as one flat mapping, `{"code": …, …}`."""
        return {"code": self.code, **self.details}

    def __str__(self) -> str:
        if not self.details:
            return self.code
        figures = ", ".join(f"{name}={value}" for name, value in self.details.items())
        return f"{self.code} ({figures})"


def reason(code: str, /, **details: Any) -> Reason:  # noqa: ANN401 - ids and figures of any plain type
    """Build a `Reason`: `reason("quota_exceeded", scope="total", available="60000.00")`."""
    return Reason(code, details)


class ConsignmentError(Exception):
    """The root of all errors that this library raises on purpose."""


class _WithReasons(ConsignmentError):
    def __init__(self, reasons: Iterable[Reason] | Reason) -> None:
        self.reasons: tuple[Reason, ...] = (
            (reasons,) if isinstance(reasons, Reason) else tuple(reasons)
        )
        if not self.reasons:
            msg = "a refusal needs at least one reason"
            raise ValueError(msg)
        super().__init__(self.reasons)

    def __str__(self) -> str:
        return "; ".join(map(str, self.reasons))

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the reasons, in their order."""
        return tuple(each.code for each in self.reasons)


class Refused(_WithReasons):
    """A rule of the business says no. Nothing was changed; every reason is given."""


class InvalidValue(Refused):
    """A value that can never be right, whatever the state of the business."""


class NotFound(Refused):
    """Nothing has that id or number."""


class Conflict(Refused):
    """The id was used before with other content; the first use stands."""


class IllegalTransition(Refused):
    """The thing is in a state in which this cannot happen to it."""


class UnusableInput(_WithReasons):
    """A file or document that cannot be read as what it should be. Nothing was changed."""


class StorageError(ConsignmentError):
    """The store could not do it; nothing of the transaction stands."""

    code = "storage_error"
    #: Whether the same call may succeed when it is made again, as it is, a little later.
    retryable = False


class StaleWrite(StorageError):
    """Somebody else changed what was read; reading again and deciding again may succeed."""

    code = "stale_write"
    retryable = True


class DuplicateKey(StorageError):
    """Something with that key is there already."""

    code = "duplicate_key"


class StorageBusy(StorageError):
    """The store was locked by others for too long. The same call may be tried again."""

    code = "database_locked"
    retryable = True


class StorageUnreachable(StorageError):
    """There is no connection to the store, or it was lost. The same call may be tried again.

    When it was lost while committing, whether that stands was looked up, and is not known only if
    the store did not come back in time. Every command has an id: the same again has no second
    effect.
    """

    code = "database_unreachable"
    retryable = True


class StorageReadOnly(StorageError):
    """The store can be read but not written."""

    code = "database_read_only"


class StorageFull(StorageError):
    """The store has no room left."""

    code = "database_full"


class StorageUnusable(StorageError):
    """What the address names is not a store of this library."""

    code = "database_unusable"


class SchemaMissing(StorageUnusable):
    """There is a database, or room for one, but no schema of this library in it."""

    code = "schema_missing"


class SchemaOutdated(StorageUnusable):
    """The schema is of an earlier version and has to be upgraded first."""

    code = "schema_outdated"


class SchemaNewer(StorageUnusable):
    """The schema was made by a later version of this library."""

    code = "schema_newer"


class DeliveryFailed(ConsignmentError):
    """A message could not be handed over. It stays due and is tried again."""


class CreditFailed(ConsignmentError):
    """An account could not be credited. The credit stays due and is tried again."""
