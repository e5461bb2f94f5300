"""The forms in which Chinese names are found; by OpenCC and pypinyin."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from consignment.domain.text import name_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.ports.name_forms import NameForms

__all__ = ["ChineseNames", "installed"]

#: Where Unicode has Chinese characters: radicals, ideographs and their extensions.
_BLOCKS: Final = (
    (0x2E80, 0x2FDF),
    (0x3007, 0x3007),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
#: So many readings of a name are kept: the likeliest, and others that differ in one character.
_READINGS: Final = 4
_LATIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


class ChineseNames:
    """Traditional characters are simplified, and names are found by the initials of Pinyin.

    The key is simplified character by character, never by words, so that a part of a name stays
    one: 乾 is 干 also in 乾坤. Initials are those of the likeliest reading of the whole name (`cq`
    of 重庆, `yh` of 银行), and where a character is read in several ways, of each reading with one
    character read otherwise, up to four in all. Latin letters and digits stand among them as they
    are: `pg5kg` finds 苹果 5kg.

    Raises `ImportError` when the extra is not installed. Its dictionaries, 50 MB, are read when
    the first name that is not ASCII comes along.
    """

    def __init__(self) -> None:
        """Make sure that the libraries are there."""
        if not installed():
            raise ImportError("Chinese names need: pip install 'consignment[chinese]'")

    def key(self, name: str) -> str:
        """Give `domain.text.name_key`, in simplified characters."""
        key = name_key(name)
        return key if key.isascii() else key.translate(_simplified())

    def others(self, key: str) -> Sequence[str]:
        """Give the initials of a name, the likeliest first; none of a name without Chinese."""
        if key.isascii():
            return ()
        likeliest = _likeliest(key)
        if likeliest is None:
            return ()
        readings = ["".join(likeliest)]
        for i, character in enumerate(key):
            for initial in _initials(character):
                reading = "".join((*likeliest[:i], initial, *likeliest[i + 1 :]))
                if reading not in readings:
                    readings.append(reading)
                    if len(readings) == _READINGS:
                        return readings
        return readings


def _likeliest(key: str) -> list[str] | None:
    """Give for each character what stands for it, None when none of them is Chinese."""
    if not any(map(_initials, key)):
        return None
    from pypinyin import Style, lazy_pinyin  # noqa: PLC0415 - an extra, and large

    def each_by_itself(unread: str) -> list[str]:
        return list(unread)

    read = lazy_pinyin(key, style=Style.FIRST_LETTER, errors=each_by_itself)  # type: ignore[arg-type] # documented, not in its types
    return [_letter(each) for each in read]


def _letter(read: str) -> str:
    plain = _PLAIN.get(read, read)
    return plain if plain in _LATIN else ""


#: Vowels that are syllables by themselves.
_PLAIN: Final = {"ê": "e"}


@lru_cache(maxsize=65_536)
def _initials(character: str) -> tuple[str, ...]:
    """Give the initials of a character's readings, the likeliest first; none if not Chinese."""
    if not any(first <= ord(character) <= last for first, last in _BLOCKS):
        return ()
    from pypinyin import Style, pinyin  # noqa: PLC0415 - an extra, and large

    read = pinyin(character, style=Style.FIRST_LETTER, heteronym=True, errors="ignore")
    letters = [_letter(each) for every in read for each in every]
    return tuple(dict.fromkeys(each for each in letters if each))


def installed() -> bool:
    """Tell whether the libraries of the extra are there."""
    return all(find_spec(library) is not None for library in ("opencc", "pypinyin"))


@cache
def _simplified() -> dict[int, str]:
    """Give what stands for each traditional character."""
    from opencc import OpenCC  # noqa: PLC0415 - an extra

    characters = [chr(code) for first, last in _BLOCKS for code in range(first, last + 1)]
    converter = OpenCC("t2s")

    def converted(given: list[str]) -> list[str]:
        # Between lines OpenCC sees no words.
        return str(converter.convert("\n".join(given))).split("\n")

    # What a character becomes may itself be traditional, in another meaning.
    simple = converted(converted(characters))
    return {
        ord(old): name_key(new)
        for old, new in zip(characters, simple, strict=True)
        if old != new and name_key(old) == old
    }


if TYPE_CHECKING:
    _: type[NameForms] = ChineseNames
