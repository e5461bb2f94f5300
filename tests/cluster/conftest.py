from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from consignment.adapters.memory import ManualClock
from consignment.desk import Consignment
from consignment.testing import builders
from tests.cluster.load import SETTINGS
from tests.cluster.nodes import Cluster, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Longer than a wait for a lock (5 s), and than it takes the nodes to go on without one (3 s).
READ_TIMEOUT_S = 8


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Start three nodes; without the programs the tests are skipped, and fail in CI."""
    if os.environ.get("CONSIGNMENT_CLUSTER") != "1":
        pytest.skip("the Galera cluster is tested by `make cluster`")
    if lacking := missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"no cluster to test with: {lacking}")
        pytest.skip(f"no cluster to test with: {lacking}")
    with Cluster() as cluster:
        cluster.start()
        cluster.wait_synced()
        yield cluster


@frozen
class Bank:
    """A database of its own on the cluster, and a desk on all nodes."""

    cluster: Cluster
    database: str
    urls: list[str]
    desk: Consignment

    def rows(self, node: int, query: str) -> list[tuple[Any, ...]]:
        """Ask one node alone, when it has caught up."""
        connection = self.cluster.nodes[node].connect(
            database=self.database, read_timeout=30, init_command="SET wsrep_sync_wait = 1"
        )
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(query)
            return [tuple(row) for row in cursor.fetchall()]


@pytest.fixture(scope="module")
def bank(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bank]:
    """Make a database with our schema, and open a desk on it."""
    database: str = request.module.__name__.rpartition(".")[2]
    with closing(cluster.nodes[0].connect()) as connection:
        connection.cursor().execute(f"CREATE DATABASE {database}")
    urls = [f"{node.url(database)}?read_timeout={READ_TIMEOUT_S}" for node in cluster.nodes]
    with Consignment.open(
        urls,
        mailbox=tmp_path_factory.mktemp("mailbox"),
        clock=ManualClock(builders.NOW),
        settings=SETTINGS,
    ) as desk:
        yield Bank(cluster, database, urls, desk)
