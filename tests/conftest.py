from __future__ import annotations

import os

import pytest

from tests import engines


def pytest_report_header() -> list[str]:
    """Say in one line which engines the tests run on, and which are not there."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return []
    return ["engines: " + "; ".join(map(engines.described, engines.ENGINES))]


@pytest.fixture(params=engines.ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each database engine in turn; the test is skipped, and counted, where it is not there."""
    name: str = request.param
    engines.needed(name)
    return name
