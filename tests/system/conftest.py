"""Eight processes, and a place where they meet, on each engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consignment.testing import builders
from tests import engines
from tests.system.crew import Crew, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Have eight processes at hand."""
    with Crew(8) as made:
        yield made


@pytest.fixture
def place(engine: str, tmp_path: Path) -> Place:
    """Give an empty desk of an engine, where it is `builders.NOW`."""
    mailbox = tmp_path / "mailbox"
    mailbox.mkdir()
    return Place(engines.empty(engine, tmp_path), mailbox, builders.NOW)
