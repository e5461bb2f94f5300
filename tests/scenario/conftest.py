"""The scenarios run on a desk in memory and on one over each engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.engines import ENGINES
from tests.system.desks import Desk, memory_desk, sql_desk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Nine o'clock in Shanghai on the day of the admission request.
START = datetime(2026, 8, 20, 1, 0, tzinfo=UTC)


@pytest.fixture(params=["memory", *ENGINES])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """Open a desk with nothing in it yet."""
    if request.param == "memory":
        made = memory_desk(START)
    else:
        made = sql_desk(START, request.param, tmp_path)
    with made.desk:
        yield made
