"""Rows that are sent to PostgreSQL as arrays arrive as they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consignment.adapters.sqlalchemy.statements import _array
from tests import engines

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_HARD = st.sampled_from(
    ["", "NULL", "null", "\1", "\2", '"', "\\", "{", "}", ",", " ", "a\nb", "特级"]
)


@pytest.fixture(scope="module")
def cursor() -> Any:  # noqa: ANN401 - the driver's
    """A cursor on a PostgreSQL."""
    engines.needed("postgresql")
    connection = engines.admin("postgresql").raw_connection()
    yield connection.cursor()
    connection.close()


@settings(max_examples=300, deadline=None)
@given(values=st.lists(st.none() | _TEXT | _HARD, min_size=1, max_size=6))
def test_texts_arrive(cursor: Any, values: list[str | None]) -> None:  # noqa: ANN401 - the driver's
    """Quotes, backslashes, braces, the word NULL, controls and nothing at all."""
    cursor.execute("SELECT %s::TEXT[]", (_array(values),))
    assert cursor.fetchone()[0] == values


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6))
def test_whole_numbers_arrive(cursor: Any, values: list[int | None]) -> None:  # noqa: ANN401 - the driver's
    """All that 64 bits hold, and nothing at all."""
    cursor.execute("SELECT %s::BIGINT[]", (_array(values),))
    assert cursor.fetchone()[0] == values


@given(values=st.lists(st.none() | st.booleans(), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_booleans_arrive(cursor: Any, values: list[bool | None]) -> None:  # noqa: ANN401 - the driver's
    """True, false, and nothing at all."""
    cursor.execute("SELECT %s::BOOLEAN[]", (_array(values),))
    assert cursor.fetchone()[0] == values
