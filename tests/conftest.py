from __future__ import annotations

import os
from collections import Counter

import pytest

from tests import engines

#: Three nodes of a cluster are started by `make cluster` alone.
_CLUSTER = os.environ.get("CONSIGNMENT_CLUSTER") == "1"
collect_ignore = [] if _CLUSTER else ["cluster"]


def pytest_report_header() -> list[str]:
    """Say in one line which engines the tests run on, and which are not there."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return []
    told = [
        *map(engines.described, engines.ENGINES),
        *([] if _CLUSTER else ["no cluster: that is `make cluster`"]),
    ]
    return ["engines: " + "; ".join(told)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the tests that were skipped, in one line for each reason."""
    skipped = Counter(str(each.longrepr[2]) for each in terminalreporter.stats.get("skipped", ()))
    for reason, count in skipped.most_common():
        terminalreporter.write_line(f"SKIPPED {count}: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(params=engines.ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each database engine in turn; the test is skipped, and counted, where it is not there."""
    name: str = request.param
    engines.needed(name)
    return name
