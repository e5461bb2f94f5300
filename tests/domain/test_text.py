"""Text from outside: ids, names, registration numbers."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import uscc

from consignment.domain.errors import InvalidValue
from consignment.domain.text import (
    check_id,
    check_registration_number,
    check_text,
    id_fault,
    name_key,
    text_fault,
)
from consignment.testing.builders import a_registration_number

# Ids.


@pytest.mark.parametrize("value", ["a", "A-1_b.C", "x" * 64, "-", "0"])
def test_ids_are_plain_characters(value: str) -> None:
    """1 to 64 letters, digits, points, underscores and hyphens are an id."""
    assert check_id(value, "id") == value
    assert id_fault(value) is None


@pytest.mark.parametrize(
    "value", ["", "x" * 65, "a b", "a:b", "a/b", "a\n", "é", "苹", "１", "@bank", "a~b", None, 1]
)
def test_everything_else_is_no_id(value: str) -> None:
    """Other characters, other lengths and other types are refused, with the field named."""
    with pytest.raises(InvalidValue) as caught:
        check_id(value, "partner_id")
    assert caught.value.codes == ("id_invalid",)
    assert caught.value.reasons[0].details["field"] == "partner_id"


# Printable text.


@pytest.mark.parametrize(
    "value",
    ["a", "苹果 5kg", "😀", "é", "e\u0301", "O'Neil", "中\u3000文", "a\u00a0b", "ﬁ", "x" * 200],
)
def test_printable_text_is_taken(value: str) -> None:
    """Any script, emoji, accents and inner spaces are text."""
    assert check_text(value, "name") == value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "text_missing"),
        ("   ", "text_missing"),
        ("\u3000\u00a0", "text_missing"),
        ("\n", "text_missing"),
        (None, "text_missing"),
        (7, "text_missing"),
        ("x" * 201, "text_too_long"),
        (" a", "text_has_outer_spaces"),
        ("a ", "text_has_outer_spaces"),
        ("a\u3000", "text_has_outer_spaces"),
        ("a\nb", "text_unprintable"),
        ("a\tb", "text_unprintable"),
        ("a\x00", "text_unprintable"),
        ("a\x7fb", "text_unprintable"),
        ("a\u202eb", "text_unprintable"),
        ("\u2066a\u2069", "text_unprintable"),
        ("a\u200bb", "text_unprintable"),
        ("a\u200db", "text_unprintable"),
        ("\ufeffa", "text_unprintable"),
        ("a\u2028b", "text_unprintable"),
        ("a\ud800", "text_unprintable"),
        ("a\ue000", "text_unprintable"),
        ("a\uffff", "text_unprintable"),
    ],
)
def test_other_text_is_refused(value: str, code: str) -> None:
    """Nothing, spaces only, outer spaces, controls, bidi and zero-width characters are refused."""
    assert text_fault(value, 200) == code
    with pytest.raises(InvalidValue) as caught:
        check_text(value, "name")
    assert caught.value.codes == (code,)


@given(st.text(max_size=30))
def test_taken_text_can_be_seen(value: str) -> None:
    """Whatever text is taken has something to see, and nothing that cannot be seen."""
    if text_fault(value, 30) is None:
        assert value == value.strip() != ""
        assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn"} for c in value)


# Registration numbers.


@pytest.mark.parametrize(
    "number",
    [
        "91652901MA0000015R",
        *(
            body + uscc.calc_check_digit(body)
            for body in ("N2330106MF1234567", "52100000500000123", "Y1110000717802355")
        ),
        a_registration_number("any"),
    ],
)
def test_registration_numbers_with_the_right_check_are_taken(number: str) -> None:
    """Codes of companies and of others, such as rural collectives (N…), are taken."""
    assert check_registration_number(number) == number


@pytest.mark.parametrize(
    "number",
    [
        "",
        "91652901MA0000015",
        "91652901MA0000015R1",
        "91652901ma0000015r",
        "91652901MI0000015R",
        "91652901MO0000015R",
        "91A52901MA0000015R",
        "I1652901MA0000015R",
        " 91652901MA0000015R",
        "９1652901MA0000015R",
    ],
)
def test_registration_numbers_of_another_form_are_refused(number: str) -> None:
    """Length, case, and letters that the standard leaves out are looked at first."""
    with pytest.raises(InvalidValue) as caught:
        check_registration_number(number)
    assert caught.value.codes == ("registration_number_invalid",)


@given(st.integers(0, 30))
def test_every_wrong_check_character_is_found(index: int) -> None:
    """Of the 31 check characters one is right, and the refusal says which."""
    check = "0123456789ABCDEFGHJKLMNPQRTUWXY"[index]
    number = "91652901MA0000015" + check
    if check == "R":
        assert check_registration_number(number) == number
        return
    with pytest.raises(InvalidValue) as caught:
        check_registration_number(number)
    assert caught.value.codes == ("registration_number_check_failed",)
    assert caught.value.reasons[0].details == {"value": number, "expected": "R"}


# Names.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ＡＢＣ", "abc"),
        ("１ＫＧ", "1kg"),
        ("Straße", "STRASSE"),
        ("é", "e\u0301"),
        ("ﬁ", "FI"),
        ("a  b", "A b"),
        ("苹果\u30005kg", "苹果 5KG"),
        ("㎏", "kg"),
        ("ガ", "ｶﾞ"),
        ("Σ", "ς"),
    ],
)
def test_names_that_look_alike_have_one_key(one: str, other: str) -> None:
    """Width, case, composition and runs of blanks do not matter."""
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("é", "e"), ("苹果", "蘋果"), ("😀", "😃"), ("a b", "ab")]
)
def test_other_names_have_other_keys(one: str, other: str) -> None:
    """Accents, scripts, emoji and blanks between words do matter."""
    assert name_key(one) != name_key(other)


@given(st.text())
def test_a_key_is_its_own_key(name: str) -> None:
    """What is searched for has the form of what is stored."""
    assert name_key(name_key(name)) == name_key(name)


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_the_short_way_for_ascii_is_the_same_way(name: str) -> None:
    """ASCII names have the key that the general rule gives."""
    folded = unicodedata.normalize("NFKC", name.casefold())
    assert name_key(name) == " ".join(folded.split())
