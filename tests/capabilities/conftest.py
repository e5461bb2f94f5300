"""Banks that the tests of the capabilities begin with."""

from __future__ import annotations

import pytest

from tests.capabilities.banks import Bank


@pytest.fixture
def bank() -> Bank:
    """Make a bank with an admission policy, and nobody there yet."""
    return Bank()


@pytest.fixture
def shop() -> Bank:
    """Make a bank that can sell: a partner, its apples, a sales partner, a rule."""
    return Bank().open_shop()
