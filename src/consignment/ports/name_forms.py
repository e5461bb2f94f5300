"""In which forms names are compared and found, beyond what Unicode says about characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from consignment.domain.text import name_key

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AsWritten", "NameForms"]


class NameForms(Protocol):
    """The forms of names. A store keeps them beside each name, as they were when it was stored.

    They are functions of the name alone. When they are to be others (an extra was installed, a
    dictionary was replaced), `catalogue.reindex_names` brings what is stored up to date.
    """

    def key(self, name: str) -> str:
        """Give the form in which names are compared, and texts are looked up.

        It is made of `domain.text.name_key`, character by character, so that the key of a part of
        a name is a part of the name's key. Of a key it gives the key itself.
        """
        ...

    def others(self, key: str) -> Sequence[str]:
        """Give other forms by which a name is found, from its key: few, short, best first.

        Each consists of the letters `a` to `z` and digits.
        """
        ...


class AsWritten:
    """Names are found as they are written."""

    def key(self, name: str) -> str:
        """Give `domain.text.name_key`."""
        return name_key(name)

    def others(self, key: str) -> Sequence[str]:  # noqa: ARG002 - the protocol's signature
        """Give none."""
        return ()


if TYPE_CHECKING:
    _: type[NameForms] = AsWritten
