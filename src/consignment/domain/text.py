"""Text from outside: what an id, a name and a code may consist of, and how names are compared."""

from __future__ import annotations

import re
import unicodedata

from stdnum.cn import uscc

from consignment.domain.errors import InvalidValue, Reason, reason

__all__ = [
    "check_id",
    "check_registration_number",
    "check_text",
    "id_fault",
    "name_key",
    "text_fault",
]

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

# Unicode's general categories of what cannot be seen, or what moves the characters around it:
# Cc control, Cf format (bidirectional controls, zero-width), Cs surrogate, Co private, Cn
# unassigned, Zl and Zp line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# GB 32100-2015: two characters for the registering authority and the kind of body (a digit, or a
# letter such as N for rural collectives), six digits for the region, nine for the body, one check
# character. The standard's alphabet leaves out I, O, S, V and Z.
_USCC = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}", re.ASCII)


def id_fault(value: object) -> str | None:
    """Say by a code what is wrong with an id that a caller chose, or None."""
    if isinstance(value, str) and _ID.fullmatch(value):
        return None
    return "id_invalid"


def check_id(value: str, name: str) -> str:
    """Return an id of 1 to 64 of `A-Z a-z 0-9 . _ -`, else raise `InvalidValue` (`id_invalid`)."""
    if id_fault(value):
        raise InvalidValue(reason("id_invalid", field=name, value=str(value)[:80]))
    return value


def text_fault(value: object, max_length: int) -> str | None:
    """Say by a code what is wrong with printable text, or None.

    Codes: `text_missing`, `text_too_long`, `text_has_outer_spaces`, `text_unprintable` (controls,
    bidirectional and zero-width characters, unassigned code points).
    """
    if not isinstance(value, str) or not value or value.isspace():
        return "text_missing"
    if len(value) > max_length:
        return "text_too_long"
    # `isprintable` is fast and refuses every space but U+0020, so look closer only when it says no.
    if not value.isprintable() and any(unicodedata.category(c) in _UNPRINTABLE for c in value):
        return "text_unprintable"
    if value[0].isspace() or value[-1].isspace():
        return "text_has_outer_spaces"
    return None


def check_text(value: str, name: str, max_length: int = 200) -> str:
    """Return printable text of 1 to `max_length` characters, else raise `InvalidValue`."""
    if code := text_fault(value, max_length):
        raise InvalidValue(reason(code, field=name, value=repr(value)[:80]))
    return value


def registration_number_fault(value: str) -> Reason | None:
    """Say what is wrong with a unified social credit code (GB 32100-2015), or None."""
    if not _USCC.fullmatch(value):
        return reason("registration_number_invalid", value=value[:32])
    expected = uscc.calc_check_digit(value[:-1])
    if value[-1] != expected:
        return reason("registration_number_check_failed", value=value, expected=expected)
    return None


def check_registration_number(value: str) -> str:
    """Return a registration number whose form and check character are right.

    Raises `InvalidValue`: `registration_number_invalid` or `registration_number_check_failed`.
    """
    if fault := registration_number_fault(value):
        raise InvalidValue(fault)
    return value


def name_key(name: str) -> str:
    """Give the form in which names are compared and searched.

    Width, case and composition do not matter: NFKC, casefold, NFKC again (Unicode 3.13, D146
    compatibility caseless matching), and runs of blanks are one space.
    """
    if name.isascii():
        return " ".join(name.lower().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())
