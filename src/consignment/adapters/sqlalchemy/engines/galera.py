"""What a Galera cluster does in its own way: several MariaDB nodes that hold the same.

Every node takes writes. A transaction runs on one of them alone; when it commits, its rows go to
all nodes in one order, and it is given up when one that came before has changed the same rows
(certification). Locks are known to their node only. So:

- A partner's writes go to one node, chosen by hash of the partner (rendezvous hashing), so that
  they wait for each other there instead of being given up. Nothing rests on it: what the hosts'
  processes know of the nodes may differ for a while, and all writes stay exact.
- What a decision rests on without changing it is touched (`Session.touch`), where on a single
  server a lock would do: then certification sees the conflict.
- Every transaction sees what was acknowledged before it began, on whatever node
  (`wsrep_sync_wait`).
- A node that fails is left alone for a while, longer each time, and then tried by one transaction
  at a time; meanwhile its partners go to the node that comes next for them.
"""

from __future__ import annotations

import logging
import random
import re
import threading
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import make_url

from consignment.adapters.sqlalchemy.engines.mariadb import MariadbDatabase
from consignment.domain.errors import StorageBusy, StorageError, StorageUnreachable, StorageUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import URL, Connection, Engine
    from sqlalchemy.pool import PoolProxiedConnection

    from consignment.adapters.sqlalchemy.engines.base import Database

__all__ = ["GaleraDatabase", "addresses"]

_log = logging.getLogger("consignment.galera")

#: How long a node that failed is left alone: the first time, and at most.
_FIRST_REST_S = 0.5
_LONGEST_REST_S = 10.0
#: How long the one that tries a node again waits for its answer.
_PROBE_S = 2.0

#: What stands before, in and behind the list of hosts of an address.
_ADDRESS = re.compile(r"(?P<head>[^:/]+://(?:[^/]*@)?)(?P<hosts>[^/@]*)(?P<tail>(?:/.*)?)", re.DOTALL)

#: What is written for no partner goes to the node of this key.
_BANK = ""


def addresses(url: str | URL | Sequence[str | URL]) -> list[str | URL]:
    """Give the addresses that an address stands for.

    That is a list of addresses, or one with several hosts: `mariadb://desk@n1,n2:3307,n3/bank`.
    """
    if not isinstance(url, str):
        # An URL of SQLAlchemy is a tuple too.
        return [url] if hasattr(url, "drivername") else list(url)
    parts = _ADDRESS.fullmatch(url)
    if parts is None or "," not in parts["hosts"]:
        return [url]
    return [f"{parts['head']}{host}{parts['tail']}" for host in parts["hosts"].split(",")]


class _Node(MariadbDatabase):
    """One node of a cluster, and whether it is worth asking."""

    #: Beside MariaDB's own: the outcome of a commit is not known.
    _UNSURE = frozenset({1180, 1317})

    def __init__(self, url: URL, cluster: _Identity, *, busy_timeout_s: float) -> None:
        super().__init__(url, busy_timeout_s=busy_timeout_s)
        self.name = f"{url.host or 'localhost'}:{url.port or 3306}"
        self._cluster = cluster
        self._turn = threading.Lock()
        self._failures = 0
        self._rests_until = 0.0
        event.listen(self.engine, "connect", self._joined)

    def _options(self, url: URL) -> dict[str, Any]:
        options = super()._options(url)
        options["init_command"] += ", wsrep_sync_wait = 1"
        # A paused node, or one that donates its state, answers nobody. Longer than a wait for a
        # lock, and than it takes the others to go on without it.
        options.setdefault("connect_timeout", 3)
        if "read_timeout" not in url.query:
            options["read_timeout"] = max(1, round(self._busy_timeout_s)) + 15
        return options

    def _joined(self, connection: Any, _: Any) -> None:  # noqa: ANN401 - the driver's
        """Look at a new connection: the node has to be one of the same cluster as the others."""
        with connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_state_uuid'")
            found = cursor.fetchone()
        self._cluster.check(self.name, "" if found is None else found[1])

    def told(self, error: Exception) -> StorageError:
        """Give the error of ours that one of PyMySQL's means."""
        code = error.args[0] if error.args else None
        if code in self._UNSURE:
            return StorageUnreachable(f"{self.name}: {error.args[-1]} ({code})")
        told = super().told(error)
        if isinstance(told, StorageUnreachable):
            return StorageUnreachable(f"{self.name}: {told}")
        return told

    def begin(self, connection: PoolProxiedConnection, *, writing: bool) -> None:
        """Begin when the node has caught up with what was acknowledged anywhere."""
        try:
            super().begin(connection, writing=writing)
        except StorageBusy as error:
            # Nothing is locked yet: the node cannot tell how far the others are.
            raise StorageUnreachable(f"{self.name} is not in step with its cluster") from error

    @property
    def failing(self) -> bool:
        """Tell whether it failed and has not answered since."""
        return self._failures > 0

    @property
    def rests_until(self) -> float:
        """Give until when it is left alone, by the monotonic clock."""
        return self._rests_until

    def usable(self) -> bool:
        """Tell whether to ask it now; when it has failed, the one who is told so tries it."""
        if not self._failures:
            return True
        with self._turn:
            now = monotonic()
            if now < self._rests_until:
                return False
            # Nobody else tries it meanwhile.
            self._rests_until = now + 2 * _PROBE_S
        return self._answers()

    def _answers(self) -> bool:
        """Try whether the node takes a transaction, within a short time."""
        timeouts = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), _PROBE_S)
        dbapi = self.engine.dialect.loaded_dbapi
        arguments = {**self._connect_args, **timeouts}
        try:
            _, options = self.engine.dialect.create_connect_args(self._url)
            connection = dbapi.connect(**{**options, **arguments})
            try:
                with connection.cursor() as cursor:
                    cursor.execute("START TRANSACTION")
                self._joined(connection, None)
            finally:
                connection.close()
        except (dbapi.Error, StorageError) as error:
            self.failed(error)
            return False
        with self._turn:
            self._failures = 0
        _log.warning("%s is used again", self.name)
        return True

    def failed(self, why: Exception) -> None:
        """Leave the node alone, the longer the more often it failed in a row."""
        with self._turn:
            now = monotonic()
            if self._failures and now < self._rests_until - 2 * _PROBE_S:
                # Others have found that out before.
                return
            rest = min(_FIRST_REST_S * 2**self._failures, _LONGEST_REST_S)
            self._failures += 1
            # Several processes do not try it at the same moment.
            self._rests_until = now + random.uniform(0.75, 1.25) * rest  # noqa: S311 - no secret
        _log.warning("%s is left alone for %.1f s: %s", self.name, rest, why)


class _Identity:
    """Which cluster it is: that of the node that was reached first."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._uuid: str | None = None

    def check(self, name: str, uuid: str) -> None:
        """Raise `StorageUnusable` when a node replicates nothing, or belongs to another cluster."""
        if not uuid:
            raise StorageUnusable(f"{name} is no node of a Galera cluster")
        with self._turn:
            if self._uuid is None:
                self._uuid = uuid
            elif self._uuid != uuid:
                raise StorageUnusable(f"{name} belongs to another cluster than the other nodes")


class GaleraDatabase:
    """Several nodes of one Galera cluster, each with a pool of connections of its own.

    Processes that name the nodes by the same addresses, in whatever order, choose the same node
    for a partner.
    """

    passing = False
    one_writer = False
    spread = True
    #: How long it may take until the nodes that are left have come together again.
    comes_back_s = 30.0

    def __init__(self, urls: Sequence[str | URL], *, busy_timeout_s: float) -> None:
        parsed = [make_url(url) for url in urls]
        if not all(url.drivername.partition("+")[0] == "mariadb" for url in parsed):
            raise StorageUnusable("several addresses are those of MariaDB's Galera cluster only")
        if len({url.database for url in parsed}) != 1:
            raise StorageUnusable("the nodes of a cluster hold one database, of one name")
        cluster = _Identity()
        self._nodes = [_Node(url, cluster, busy_timeout_s=busy_timeout_s) for url in parsed]
        if len({node.name for node in self._nodes}) != len(self._nodes):
            raise StorageUnusable("a node of the cluster is named twice")

    @property
    def engine(self) -> Engine:
        """Give the engine of a node, for its dialect."""
        return self._nodes[0].engine

    def connection(self, partner_id: str | None = None) -> PoolProxiedConnection:
        """Take a connection to the partner's node, or to that which comes next for it."""
        last: StorageError | None = None
        for node in self._order(partner_id):
            if node.usable():
                try:
                    return self._taken(node)
                except StorageUnreachable as error:
                    node.failed(error)
                    last = error
        if last is not None:
            raise last
        # All of them have failed of late: one of them may be back.
        node = min(self._nodes, key=lambda each: each.rests_until)
        try:
            return self._taken(node)
        except StorageUnreachable as error:
            node.failed(error)
            raise

    def _taken(self, node: _Node) -> PoolProxiedConnection:
        connection = node.connection()
        connection.info["node"] = node
        return connection

    def _order(self, partner_id: str | None) -> list[_Node]:
        """Give the nodes, the one of the highest hash of node and partner first."""
        key = partner_id or _BANK
        return sorted(
            self._nodes,
            key=lambda node: blake2b(f"{node.name}\n{key}".encode(), digest_size=8).digest(),
        )

    def lost(self, connection: PoolProxiedConnection, why: StorageError) -> None:
        """Give up a connection that was lost, with all others to that node."""
        node: _Node = connection.info["node"]
        connection.invalidate()
        node.failed(why)
        node.engine.dispose()

    def turn(self, *, writing: bool) -> AbstractContextManager[None]:
        """Let anybody in."""
        return self._nodes[0].turn(writing=writing)

    def begin(self, connection: PoolProxiedConnection, *, writing: bool) -> None:
        """Begin when the node has caught up with what was acknowledged anywhere."""
        node: _Node = connection.info["node"]
        node.begin(connection, writing=writing)

    def told(self, error: Exception) -> StorageError:
        """Give the error of ours that one of PyMySQL's means."""
        return self._nodes[0].told(error)

    @contextmanager
    def upgrading(self) -> Iterator[Connection]:
        """Take the lock by name on each node that can be reached, and give the first's connection.

        Such a lock is known to its node only. All take them in one order, so two that upgrade at
        once meet on the first node that both can reach. The statements go through one node, and
        from it to all others in their order among all writes (TOI).
        """
        with ExitStack() as locks:
            connections = []
            last: StorageError | None = None
            for node in sorted(self._nodes, key=lambda each: each.name):
                try:
                    connections.append(locks.enter_context(node.upgrading()))
                except StorageUnreachable as error:
                    last = error
            if not connections:
                raise last or StorageUnreachable("the cluster has no nodes")
            yield connections[0]

    def close(self) -> None:
        """Let go of all connections."""
        for node in self._nodes:
            node.close()


if TYPE_CHECKING:
    _: type[Database] = GaleraDatabase
