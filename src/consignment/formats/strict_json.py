"""Strict JSON: nothing is guessed, nothing is read in two ways, and hostile input stays cheap.

RFC 8259 in UTF-8, with I-JSON's restrictions (RFC 7493): names of an object's members are unique,
text is free of lone surrogates, whole numbers are within ±(2^53 − 1). Beyond that NUL is refused,
and every number that is not whole: amounts and quantities are text here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from consignment.domain.errors import Reason, UnusableInput, reason
from consignment.formats.faults import Place, bounded, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_BYTES", "MAX_DEPTH", "examine", "parse"]

#: The largest document or message, in bytes.
MAX_BYTES = 1024 * 1024

#: How deep lists and objects may be nested.
MAX_DEPTH = 32

_MAX_WHOLE = 2**53 - 1
_MAX_DIGITS = 16
_BOM = b"\xef\xbb\xbf"

#: A string (also one that does not end), or a bracket; what is between is of no interest.
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


class _Suspect(Exception):
    """The quick pass met something; the thorough one says what and where."""


class _Misfit:
    """Stands in the parsed value where a number cannot be taken."""

    __slots__ = ("code", "text")

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        self.text = text

    def __repr__(self) -> str:
        return self.text[:64]


class _Repeating(dict[str, Any]):
    """An object some of whose members have the same name."""

    __slots__ = ("repeated",)
    repeated: list[str]


def parse(data: bytes | str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:  # noqa: ANN401 - whatever the document holds
    """Parse one JSON text into dicts, lists, text, ints, booleans and None.

    A byte order mark in front is passed over. Raises `UnusableInput` with every fault that can be
    made out: `too_large`, `not_utf8`, `input_empty`, `too_deep`, `not_json` (each with line and
    column, or offset), or `name_repeated`, `number_not_exact`, `number_not_finite`,
    `number_too_large`, `text_has_nul`, `text_has_lone_surrogate` (each with `at`, the path).
    """
    value, faults = examine(data, max_bytes=max_bytes, max_depth=max_depth)
    if faults:
        raise UnusableInput(faults)
    return value


def examine(
    data: bytes | str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH
) -> tuple[Any, list[Reason]]:
    """Parse one JSON text, and give it with the faults that `parse` would raise for its parts.

    So that a reader can add what else is wrong. Where a number cannot be taken, the value holds
    something that is no plain value; of members with the same name it holds the last.
    Raises `UnusableInput` when it is no JSON text at all.
    """
    text = _text(data, max_bytes)
    _check_depth(text, max_depth)
    try:
        value = _QUICK.decode(text)
    except _Suspect:
        pass
    except json.JSONDecodeError as error:
        raise _not_json(error) from error
    else:
        if "\\u" not in text:
            return value, []
    try:
        value = _THOROUGH.decode(text)
    except json.JSONDecodeError as error:
        raise _not_json(error) from error
    return value, bounded(_faults(value, Place()))


def _text(data: bytes | str, max_bytes: int) -> str:
    if isinstance(data, str):
        if len(data) > max_bytes:
            raise UnusableInput(reason("too_large", max_bytes=max_bytes))
        try:
            data = data.encode()
        except UnicodeEncodeError as error:
            line, column = _line_and_column(str(error.object), error.start)
            raise UnusableInput(
                reason("text_has_lone_surrogate", line=line, column=column)
            ) from error
    if len(data) > max_bytes:
        raise UnusableInput(reason("too_large", max_bytes=max_bytes))
    try:
        text = data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        offset = error.start + (len(_BOM) if data.startswith(_BOM) else 0)
        raise UnusableInput(
            reason("not_utf8", line=data.count(b"\n", 0, offset) + 1, offset=offset)
        ) from error
    if not text or text.isspace():
        raise UnusableInput(reason("input_empty"))
    return text


def _check_depth(text: str, max_depth: int) -> None:
    # Before the parser sees it: the parser's own limit is the interpreter's stack.
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for match in _NESTING.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > max_depth:
                line, column = _line_and_column(text, match.start())
                raise UnusableInput(
                    reason("too_deep", max_depth=max_depth, line=line, column=column)
                )
        elif first in "]}":
            depth -= 1


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


def _not_json(error: json.JSONDecodeError) -> UnusableInput:
    problem = error.msg[:1].lower() + error.msg[1:]
    return UnusableInput(reason("not_json", line=error.lineno, column=error.colno, problem=problem))


def _suspect(_text: str) -> NoReturn:
    raise _Suspect


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS + 1 or not -_MAX_WHOLE <= (number := int(text)) <= _MAX_WHOLE:
        raise _Suspect
    return number


def _whole_or_misfit(text: str) -> int | _Misfit:
    try:
        return _whole(text)
    except _Suspect:
        return _Misfit("number_too_large", text)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Suspect
    return members


def _members_or_repeating(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    repeating = _Repeating(members)
    seen: set[str] = set()
    repeating.repeated = [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value] # `add` gives None
    return repeating


_QUICK = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_suspect, parse_int=_whole, parse_constant=_suspect
)
_THOROUGH = json.JSONDecoder(
    object_pairs_hook=_members_or_repeating,
    parse_float=lambda text: _Misfit("number_not_exact", text),
    parse_int=_whole_or_misfit,
    parse_constant=lambda text: _Misfit("number_not_finite", text),
)


def _faults(value: object, place: Place) -> Iterator[Reason]:
    if isinstance(value, str):
        yield from _text_faults(value, place)
    elif isinstance(value, _Misfit):
        yield reason(value.code, **place.details, value=value.text[:64])
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from _faults(each, place.item(i))
    elif isinstance(value, dict):
        if isinstance(value, _Repeating):
            for name in dict.fromkeys(value.repeated):
                yield reason("name_repeated", **place.member(name).details)
        for name, each in value.items():
            yield from _text_faults(name, place.member(name))
            yield from _faults(each, place.member(name))


def _text_faults(text: str, place: Place) -> Iterator[Reason]:
    if "\0" in text:
        yield reason("text_has_nul", **place.details, value=shown(text))
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        yield reason("text_has_lone_surrogate", **place.details, value=shown(text))
