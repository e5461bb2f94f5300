"""Finding names: where a text stands in a name, and the order of what is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["PLACE_LENGTH", "RANKS", "NamePlace", "name_place"]

#: So many characters of a name, from the found place on, count in the order of what is found.
PLACE_LENGTH: Final = 16

#: 0 the whole name, 1 its beginning, 2 somewhere in it, 3 in another form of it (its initials).
RANKS: Final = range(4)


@frozen(order=True)
class NamePlace:
    """Where a product stands among those that a text finds: by rank, by what follows, by number.

    `rank` is one of `RANKS`. `tail` is the name from the place where the text was found on, of at
    most `PLACE_LENGTH` characters; of several such places it is the one that comes first in the
    order. So the order is total, and where a product stands in it depends on no other product:
    pages stay what they are while products are added.
    """

    rank: int
    tail: str
    number: str


def name_place(key: str, forms: Iterable[str], text: str) -> tuple[int, str] | None:
    """Give the rank and tail by which a text finds a name, None when it does not.

    `key` is the name as it is compared, `forms` are its other forms (see `ports.name_forms`).
    """
    if key.startswith(text):
        return int(key != text), key[:PLACE_LENGTH]
    if inside := min(_tails(key, text), default=None):
        return 2, inside
    if other := min((tail for form in forms for tail in _tails(form, text)), default=None):
        return 3, other
    return None


def _tails(key: str, text: str) -> Iterator[str]:
    at = key.find(text)
    while at >= 0:
        yield key[at : at + PLACE_LENGTH]
        at = key.find(text, at + 1)
