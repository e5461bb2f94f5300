"""JSON for programs: written piece by piece, so that a million items need no memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

__all__ = ["DocumentWriter"]

#: Pieces are written together until there are so many characters of them.
_CHUNK = 1 << 16


class DocumentWriter:
    """Writes one document to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        #: Whether some of the document has been written.
        self.begun = False

    def write(self, document: object) -> None:
        """Write a document and a line's end.

        What the document's iterators raise is raised. Of a short document nothing has been
        written then; a long one is cut off, and is no JSON any more.
        """
        waiting: list[str] = []
        size = 0
        for piece in _pieces(document):
            waiting.append(piece)
            size += len(piece)
            if size > _CHUNK:
                self._put("".join(waiting))
                waiting.clear()
                size = 0
        self._put("".join(waiting) + "\n")

    def _put(self, text: str) -> None:
        self.begun = True
        self._stream.write(text)


def _pieces(value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever a document holds
    """Give the JSON of a value; items of its lists stand on lines of their own."""
    if isinstance(value, Mapping):
        before = "{"
        for name, member in value.items():
            yield f"{before}{_json(name)}: "
            if _is_list(member):
                yield from _items(member)
            else:
                yield _json(member)
            before = ",\n "
        yield "}" if value else "{}"
    elif _is_list(value):
        yield from _items(value)
    else:
        yield _json(value)


def _items(items: Iterable[Any]) -> Iterator[str]:
    before = "[\n  "
    for item in items:
        yield before
        yield _json(item)
        before = ",\n  "
    yield "[]" if before.startswith("[") else "\n ]"


def _is_list(value: Any) -> bool:  # noqa: ANN401 - whatever a document holds
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
