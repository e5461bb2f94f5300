"""Where in a document a fault is, and how faults are gathered and told."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING

from attrs import frozen

from consignment.domain.errors import InvalidValue, Reason, UnusableInput, reason

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_REASONS", "Place", "bounded", "refusal", "shown"]

#: So many reasons are given at most; the last then says `more_faults`.
MAX_REASONS = 100

_MAX_SHOWN = 64
_PLAIN_NAME = re.compile(r"[\w@-]{1,64}")


@frozen
class Place:
    """A place in a document, by its path: `partner.account.currency`, `lines[2].quantity`."""

    path: str = ""

    def member(self, name: object) -> Place:
        """Give the place of an object's member. A name that is not plain is quoted."""
        text = str(name)
        if not _PLAIN_NAME.fullmatch(text):
            return Place(f"{self.path}[{json.dumps(text[:_MAX_SHOWN])}]")
        return Place(f"{self.path}.{text}" if self.path else text)

    def item(self, index: int) -> Place:
        """Give the place of an item of a list, counted from 0."""
        return Place(f"{self.path}[{index}]")

    @property
    def details(self) -> dict[str, str]:
        """Give `at` for a reason; nothing for the document itself."""
        return {"at": self.path} if self.path else {}


def shown(value: object) -> str:
    """Give what is shown of a value in a reason: short, and safe to print anywhere."""
    text = value if isinstance(value, str) else repr(value)
    text = text[:_MAX_SHOWN]
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def bounded(reasons: Iterable[Reason]) -> list[Reason]:
    """Give the first reasons, and `more_faults` behind them when there are more."""
    source = iter(reasons)
    first = list(islice(source, MAX_REASONS))
    if next(source, None) is not None:
        first[-1] = reason("more_faults", shown=MAX_REASONS - 1)
    return first


def refusal(malformed: list[Reason], invalid: list[Reason]) -> UnusableInput | InvalidValue:
    """Give the error for a document's faults.

    `malformed` are faults of form, `invalid` well-formed values that can never be right. Only
    when there are none of the former is it an `InvalidValue`.
    """
    if malformed:
        return UnusableInput(bounded([*malformed, *invalid]))
    return InvalidValue(bounded(invalid))
