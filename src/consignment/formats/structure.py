"""How plain JSON values become domain values: readers, put together with cattrs.

A reader takes a plain value and gives a domain value. What it raises says why not: `Malformed`
for a fault of form, `InvalidValue` for a value that can never be right. `record` and `listed` try
everything in them before they raise, and `faults_of` finds each fault with its path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import attrs
from cattrs import Converter
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from consignment.domain.errors import InvalidValue, Reason, reason
from consignment.domain.money import minor_places, parse_decimal
from consignment.domain.text import check_id, check_text
from consignment.formats.faults import Place, refusal, shown

if TYPE_CHECKING:
    from decimal import Decimal
    from enum import StrEnum

__all__ = [
    "Attempts",
    "Malformed",
    "Member",
    "Reader",
    "as_attribute",
    "boolean",
    "checked",
    "choice",
    "currency",
    "day",
    "decimal",
    "faults_of",
    "identifier",
    "instant",
    "listed",
    "mapped",
    "members",
    "need_object",
    "optional",
    "placed",
    "printable",
    "record",
    "structured",
    "text",
    "whole",
]

T = TypeVar("T")

Reader: TypeAlias = Callable[[Any], T]

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
#: RFC 3339, section 5.6, without leap seconds; the offset is looked at by itself.
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)

_CONVERTER = Converter(detailed_validation=True, forbid_extra_keys=True)


class Malformed(Exception):
    """A value does not have the form that its place asks for."""

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(code)
        self.reason = reason(code, **details)


class _At(str):
    """A note on an exception: the name or index under which the value stood."""

    __slots__ = ("key",)
    key: str | int

    def __new__(cls, key: str | int) -> Self:
        note = str.__new__(cls, f"at {key!r}")
        note.key = key
        return note


class _Several(ExceptionGroup[Exception]):
    """The faults of a list's items or of an object's members."""


def text(value: object) -> str:
    """Read text. `not_text`."""
    if not isinstance(value, str):
        raise Malformed("not_text", value=shown(value))
    return value


def whole(value: object) -> int:
    """Read a whole number, given as a JSON number. `wrong_type`."""
    if type(value) is not int:
        raise Malformed("wrong_type", expected="whole number", value=shown(value))
    return value


def boolean(value: object) -> bool:
    """Read true or false. `wrong_type`."""
    if not isinstance(value, bool):
        raise Malformed("wrong_type", expected="true or false", value=shown(value))
    return value


def decimal(value: object) -> Decimal:
    """Read an exact decimal, given as text. `not_text`; `number_invalid`."""
    return parse_decimal(text(value))


def identifier(value: object) -> str:
    """Read an id. `not_text`; `id_invalid`."""
    return checked(check_id)(value)


def printable(max_length: int = 200) -> Reader[str]:
    """Read printable text. `not_text`; as `domain.text.check_text` raises."""
    return checked(partial(check_text, max_length=max_length))


def checked(check: Callable[[str, str], str]) -> Reader[str]:
    """Read text that passes one of the domain's checks; the place is told by `at`, not `field`."""

    def read(value: object) -> str:
        try:
            return check(text(value), "")
        except InvalidValue as error:
            raise InvalidValue(
                Reason(each.code, {k: v for k, v in each.details.items() if k != "field"})
                for each in error.reasons
            ) from None

    return read


def choice(kinds: type[StrEnum], code: str = "choice_unknown") -> Reader[Any]:
    """Read one of an enumeration's values. `not_text`; `choice_unknown`, or another code."""
    known = [each.value for each in kinds]

    def read(value: object) -> StrEnum:
        if text(value) not in known:
            raise InvalidValue(reason(code, value=shown(value), choices=known))
        return kinds(text(value))

    return read


def day(value: object) -> date:
    """Read a day as `YYYY-MM-DD`. `not_text`; `date_invalid`."""
    if _DAY.fullmatch(text(value)):
        try:
            return date.fromisoformat(text(value))
        except ValueError:
            pass
    raise InvalidValue(reason("date_invalid", value=shown(value)))


def instant(value: object) -> datetime:
    """Read an instant as RFC 3339 writes it, and give it in UTC, to the microsecond.

    `not_text`; `instant_invalid`; `instant_naive` when it has no offset.
    """
    match = _INSTANT.fullmatch(text(value))
    if match is None:
        raise InvalidValue(reason("instant_invalid", value=shown(value)))
    on, at, offset = match.groups()
    if offset is None:
        raise InvalidValue(reason("instant_naive", value=shown(value)))
    try:
        return datetime.fromisoformat(f"{on}T{at}{offset.upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidValue(reason("instant_invalid", value=shown(value))) from None


def currency(value: object) -> str:
    """Read the code of a currency. `not_text`; `currency_unknown`."""
    minor_places(text(value))
    return text(value)


def optional(read: Reader[T]) -> Reader[T | None]:
    """Read what may also be null."""
    return lambda value: None if value is None else read(value)


def need_object(value: object) -> dict[str, Any]:
    """Read an object as it is. `wrong_type`."""
    if not isinstance(value, dict):
        raise Malformed("wrong_type", expected="object", value=shown(value))
    return value


def listed(read: Reader[T]) -> Reader[tuple[T, ...]]:
    """Read a list, each item by a reader. `wrong_type`."""

    def read_list(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise Malformed("wrong_type", expected="list", value=shown(value))
        attempts = Attempts()
        items = [attempts.read(read, each, i) for i, each in enumerate(value)]
        attempts.conclude()
        return tuple(items)  # type: ignore[arg-type] # each succeeded

    return read_list


def mapped(read_name: Reader[str], read: Reader[T]) -> Reader[dict[str, T]]:
    """Read an object as a mapping, names and values each by a reader. `wrong_type`."""

    def read_mapping(value: object) -> dict[str, T]:
        attempts = Attempts()
        members = {
            attempts.read(read_name, name, name): attempts.read(read, each, name)
            for name, each in need_object(value).items()
        }
        attempts.conclude()
        return members  # type: ignore[return-value] # each succeeded

    return read_mapping


def members(
    required: Mapping[str, Reader[Any]], may_have: Mapping[str, Reader[Any]] | None = None
) -> Reader[dict[str, Any]]:
    """Read an object's members, each by its reader, and no others.

    `wrong_type`, `missing_field`, `unknown_field`, and whatever the readers raise.
    """
    readers = {**required, **(may_have or {})}

    def read_members(value: object) -> dict[str, Any]:
        given = need_object(value)
        attempts = Attempts()
        got = {}
        for name, read in readers.items():
            if name in given:
                got[name] = attempts.read(read, given[name], name)
            elif name in required:
                attempts.failed.append(KeyError(name))
        if unknown := given.keys() - readers.keys():
            attempts.failed.append(ForbiddenExtraKeysError(None, dict, unknown))
        attempts.conclude()
        return got

    return read_members


class Attempts:
    """Several readings, of which all are tried before any failure is raised."""

    def __init__(self) -> None:
        self.failed: list[Exception] = []

    def read(self, read: Reader[T], value: object, key: str | int | None = None) -> T | None:
        """Try one; `key` is where the value stands in what is read. None when it failed."""
        try:
            return read(value)
        except Exception as error:  # noqa: BLE001 - `conclude` raises them all, together
            if key is not None:
                error.add_note(_At(key))
            self.failed.append(error)
            return None

    def conclude(self) -> None:
        """Raise the failures, if there are any."""
        if self.failed:
            raise _Several("parts", self.failed)


@attrs.frozen
class Member:
    """How a document's member is called when not as the attribute, and how it is read."""

    key: str
    read: Reader[Any]


def record(cls: type[T], **named: Member | Reader[Any]) -> Reader[T]:
    """Read an object as an attrs class: these members, and no others.

    An attribute with a default may be left out; an attribute that is not named keeps its default.
    `wrong_type`, `missing_field`, `unknown_field`, and whatever the readers and the class raise.
    """
    overrides: dict[str, Any] = {}
    for name in attrs.fields_dict(cls):  # type: ignore[arg-type] # T is an attrs class
        member = named.get(name)
        if member is None:
            overrides[name] = override(omit=True)
            continue
        if not isinstance(member, Member):
            member = Member(name, member)
        read = placed(member.key, as_attribute(cls, name, member.read))
        overrides[name] = override(rename=member.key, struct_hook=_hook(read))
    structure: Callable[[Mapping[str, Any], type[T]], T] = make_dict_structure_fn(
        cls,
        _CONVERTER,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        **overrides,
    )
    return lambda value: structure(need_object(value), cls)


def as_attribute(cls: type, name: str, read: Reader[Any]) -> Reader[Any]:
    """Read as a reader does, and then as an attrs class converts and validates its attribute.

    So the attribute's faults are told in its place. When the object is made, the converter and
    the validator run once more, and change nothing.
    """
    attribute: Any = attrs.fields_dict(cls)[name]
    convert, validate = attribute.converter, attribute.validator
    if convert is None and validate is None:
        return read

    def read_attribute(value: object) -> object:
        got = read(value)
        if convert is not None:
            got = convert(got)
        if validate is not None:
            validate(None, attribute, got)
        return got

    return read_attribute


def placed(key: str, read: Reader[T]) -> Reader[T]:
    """Let a reader's faults be those of a member or item."""

    def read_there(value: object) -> T:
        try:
            return read(value)
        except Exception as error:
            error.add_note(_At(key))
            raise

    return read_there


def _hook(read: Reader[T]) -> Callable[[Any, Any], T]:
    return lambda value, _type: read(value)


def structured(read: Reader[T], value: object, unparsed: Sequence[Reason] = ()) -> T:
    """Read a whole document from its plain value.

    `unparsed` are the faults that were found in parsing it; what the readers say of the same
    places is not repeated. Raises `UnusableInput` with every fault when there are faults of form,
    else `InvalidValue`.
    """
    malformed, invalid = list(unparsed), list[Reason]()
    try:
        result = read(value)
    except (Malformed, InvalidValue, ClassValidationError, _Several) as error:
        told = {each.details.get("at") for each in unparsed} - {None}
        for known, found in zip((malformed, invalid), faults_of(error), strict=True):
            known += [each for each in found if each.details.get("at") not in told]
    else:
        if not malformed:
            return result
    raise refusal(malformed, invalid)


def faults_of(error: Exception) -> tuple[list[Reason], list[Reason]]:
    """Give the faults of form, and the values that can never be right, each with its path.

    What is neither was not expected, and is raised again.
    """
    malformed: list[Reason] = []
    invalid: list[Reason] = []
    _gather(error, Place(), malformed, invalid)
    return malformed, invalid


def _gather(error: Exception, outer: Place, malformed: list[Reason], invalid: list[Reason]) -> None:
    place = outer
    # The note that was put on last is the outermost: an exception is noted once on each level,
    # and levels within a group are on the group's parts.
    for note in reversed(getattr(error, "__notes__", ())):
        if isinstance(note, _At):
            place = place.item(note.key) if isinstance(note.key, int) else place.member(note.key)
    if isinstance(error, ClassValidationError | _Several):
        for part in error.exceptions:
            _gather(part, place, malformed, invalid)
    elif isinstance(error, ForbiddenExtraKeysError):
        malformed += [
            reason("unknown_field", **place.member(name).details)
            for name in sorted(map(str, error.extra_fields))
        ]
    elif isinstance(error, KeyError):
        malformed.append(reason("missing_field", **place.member(error.args[0]).details))
    elif isinstance(error, Malformed):
        malformed.append(Reason(error.reason.code, {**place.details, **error.reason.details}))
    elif isinstance(error, InvalidValue):
        for each in error.reasons:
            details = {k: shown(v) if isinstance(v, str) else v for k, v in each.details.items()}
            invalid.append(Reason(each.code, {**place.details, **details}))
    else:
        raise error
