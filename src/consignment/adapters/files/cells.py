"""Cells that are no text, as the text that a row of CSV would have for them."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite

__all__ = ["day_text", "number_text", "plain"]

#: What a binary floating-point number holds of a decimal one, and a spreadsheet keeps of it.
_DIGITS = 15


def number_text(number: float) -> str | None:
    """Write a number as it was typed: the shortest text that means it, without an exponent.

    4.5 for 4.5, 6901234567892 for a whole number. None when digits may have been lost: a number
    of more than 15 digits is not what was typed, or was never exact.
    """
    if not isfinite(number) or abs(number) >= 10**_DIGITS:
        return None
    if number.is_integer():
        return str(int(number))
    text = repr(number)
    if "e" in text:
        text = plain(Decimal(text))
    digits = text.lstrip("-0.").replace(".", "")
    return text if len(digits) <= _DIGITS else None


def plain(number: Decimal) -> str:
    """Write a decimal number without exponent and without zeros behind its last decimal."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").removesuffix(".")
    return "0" if text == "-0" else text


def day_text(moment: object) -> str:
    """Write a day as YYYY-MM-DD; a day with a time that is not midnight keeps it."""
    if isinstance(moment, datetime) and moment.time() == time.min:
        moment = moment.date()
    return moment.isoformat() if isinstance(moment, date | time) else str(moment)
