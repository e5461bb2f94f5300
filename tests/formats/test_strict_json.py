from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consignment.domain.errors import UnusableInput
from consignment.formats.faults import MAX_REASONS
from consignment.formats.strict_json import MAX_BYTES, MAX_DEPTH, examine, parse

_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def _refused(data: bytes | str, **limits: int) -> list[dict[str, Any]]:
    with pytest.raises(UnusableInput) as caught:
        parse(data, **limits)
    return [each.as_dict() for each in caught.value.reasons]


@given(_PLAIN)
def test_plain_values_come_back(value: object) -> None:
    """Text, whole numbers, booleans, None, lists and maps are read as they were written."""
    assert parse(json.dumps(value)) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_input_is_read_or_refused(data: bytes | str) -> None:
    """Whatever comes, the only error is `UnusableInput`."""
    with suppress(UnusableInput):
        parse(data)


@given(st.text('{}[]",:\\u0d8 1.e-NaN', max_size=60))
def test_any_near_json_is_read_or_refused(data: str) -> None:
    """Likewise what nearly is JSON; and what is read is what the standard library reads."""
    try:
        value = parse(data)
    except UnusableInput:
        return
    assert value == json.loads(data)


def test_a_byte_order_mark_is_passed_over() -> None:
    """Editors on Windows write one."""
    assert parse(b"\xef\xbb\xbf[1]") == [1]
    assert parse("\ufeff[1]") == [1]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("1.5", "number_not_exact"),
        ("1e5", "number_not_exact"),
        ("-0.0", "number_not_exact"),
        ("NaN", "number_not_finite"),
        ("-Infinity", "number_not_finite"),
        (str(2**53), "number_too_large"),
        ("-" + "9" * 5000, "number_too_large"),
    ],
)
def test_numbers_that_are_not_whole_and_exact_are_refused(number: str, code: str) -> None:
    """Amounts are text; a number is a whole one that every reader reads alike."""
    assert _refused(f'{{"lines": [{{"price": {number}}}]}}') == [
        {"code": code, "at": "lines[0].price", "value": number[:64]}
    ]


def test_every_bad_part_is_named_with_its_path() -> None:
    """Repeated names, numbers, NUL and lone surrogates, all at once."""
    data = '{"a": 1, "a": 2, "b": {"c": [1, 1e2]}, "d e": "x\\u0000", "f": "\\ud800", "\\udfff": 1}'
    assert [(each["code"], each["at"]) for each in _refused(data)] == [
        ("name_repeated", "a"),
        ("number_not_exact", "b.c[1]"),
        ("text_has_nul", '["d e"]'),
        ("text_has_lone_surrogate", "f"),
        ("text_has_lone_surrogate", '["\\udfff"]'),
    ]
    json.dumps(_refused(data), ensure_ascii=False).encode()


def test_a_surrogate_pair_is_one_character() -> None:
    """Escaped pairs are how JSON writes characters beyond the basic plane."""
    assert parse('"\\ud83c\\udf4e"') == "🍎"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", {"code": "input_empty"}),
        (b" \n\t", {"code": "input_empty"}),
        (b'{"a":\n "\xff"}', {"code": "not_utf8", "line": 2, "offset": 8}),
        (b"\xef\xbb\xbf\xff", {"code": "not_utf8", "line": 1, "offset": 3}),
        ("[1,\n 2,]", {"code": "not_json", "line": 2, "column": 4}),
        ('{"a": "b\x00"}', {"code": "not_json", "line": 1, "column": 9}),
        ("{}{}", {"code": "not_json", "line": 1, "column": 3}),
        ("'a'", {"code": "not_json", "line": 1, "column": 1}),
        ("a\n\ud800", {"code": "text_has_lone_surrogate", "line": 2, "column": 1}),
        ("[[\n[]]]", {"code": "too_deep", "max_depth": 2, "line": 2, "column": 1}),
        ("[1,2,3]" + " " * 100, {"code": "too_large", "max_bytes": 100}),
        (b"[1,2,3]" + b" " * 100, {"code": "too_large", "max_bytes": 100}),
        ("果" * 40, {"code": "too_large", "max_bytes": 100}),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(
    data: bytes | str, expected: dict[str, Any]
) -> None:
    """Each fault has its line and column, or its offset."""
    (found,) = _refused(data, max_bytes=100, max_depth=2)
    assert expected.items() <= found.items()


def test_depth_is_found_before_the_parser_runs_out_of_stack() -> None:
    """Half a million brackets are refused as too deep, not by a crash."""
    (found,) = _refused("[" * (MAX_BYTES // 2))
    assert (found["code"], found["column"]) == ("too_deep", MAX_DEPTH + 1)
    (found,) = _refused('{"a":' * 100)
    assert found["code"] == "too_deep"


def test_brackets_within_text_are_no_depth() -> None:
    """Only what nests counts; escaped quotes do not end the text."""
    text = '\\"' + "[" * 1000
    assert parse(json.dumps({"a": [text, text], "b": {}})) == {"a": [text, text], "b": {}}
    assert parse("[" + ",".join(["[]"] * 1000) + "]") == [[]] * 1000


def test_the_brackets_of_an_unfinished_text_do_not_count() -> None:
    """A text without an end is not JSON, whatever is in it."""
    (found,) = _refused('"' + "[" * 100)
    assert found["code"] == "not_json"


def test_a_document_full_of_faults_is_refused_in_bounded_words() -> None:
    """At most a hundred reasons, the last of which says that there are more."""
    reasons = _refused("[" + ",".join(["1.5"] * 5000) + "]")
    assert len(reasons) == MAX_REASONS
    assert reasons[-1] == {"code": "more_faults", "shown": MAX_REASONS - 1}


def test_examine_gives_the_value_with_the_faults() -> None:
    """So that a reader can go on and say what else is wrong."""
    value, faults = examine('{"id": "A", "x": 1.5}')
    assert value["id"] == "A"
    assert [each.code for each in faults] == ["number_not_exact"]
