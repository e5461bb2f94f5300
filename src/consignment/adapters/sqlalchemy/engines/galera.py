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
from contextlib import ExitStack, closing, contextmanager
from hashlib import blake2b
from time import monotonic
from typing import TYPE_CHECKING, Any
from zlib import crc32

from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    event,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from consignment.adapters.sqlalchemy.engines.mariadb import MariadbDatabase
from consignment.adapters.sqlalchemy.statements import Statement
from consignment.domain.errors import StorageBusy, StorageError, StorageUnreachable, StorageUnusable
from consignment.domain.order import partner_id_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import Connection
    from sqlalchemy.pool import PoolProxiedConnection

    from consignment.adapters.sqlalchemy.engines.base import Database

__all__ = ["PASS_GATES", "GaleraDatabase", "addresses", "order_gate", "partner_gate", "weight"]

_log = logging.getLogger("consignment.galera")

#: How long a node that failed is left alone: the first time, and at most.
_FIRST_REST_S = 0.5
_LONGEST_REST_S = 8.0
_MOST_FAILURES = 10
#: How long the one that tries a node again waits for its answer.
_PROBE_S = 2.0

#: What stands before, in and behind the list of hosts of an address.
_ADDRESS = re.compile(
    r"(?P<head>[^:/]+://(?:[^/]*@)?)(?P<hosts>[^/@]*)(?P<tail>(?:/.*)?)", re.DOTALL
)

#: What is written for no partner goes to the node of this key.
_BANK = ""

# What holds on a cluster only is no part of the schema's revisions: a database that becomes a
# cluster gets it with the next upgrade.
_metadata = MetaData()
_gates = Table(
    "consignment_gates",
    _metadata,
    Column("partner_id", String(64, collation="utf8mb4_nopad_bin"), nullable=False),
    Column("gate", SmallInteger, nullable=False),
    Column("passed", BigInteger, nullable=False),
    PrimaryKeyConstraint("partner_id", "gate"),
    info={"placement": "partner"},
    mariadb_engine="InnoDB",
    mariadb_charset="utf8mb4",
)
_passing = mysql.insert(_gates)
#: Passes gates; see `partner_gate` and `order_gate`.
PASS_GATES = Statement(
    _passing.on_duplicate_key_update(passed=_gates.c.passed + _passing.inserted.passed)
)
#: So many gates for the orders of a partner: two orders that share one wait for nothing.
_ORDER_GATES = 64


def partner_gate(partner_id: str) -> tuple[str, int, int]:
    """Give the gate that is passed to order from a partner, and to change whether one may.

    The partner's own row would not do: whoever refers to it by a foreign key, such as an import of
    products, would be given up for each order that is placed on another node.
    """
    return partner_id, 0, 1


def order_gate(order_id: str) -> tuple[str, int, int]:
    """Give the gate that is passed to decide on an order without changing it."""
    return (
        partner_id_of(order_id),
        1 + crc32(order_id.encode("utf-8", "surrogatepass")) % _ORDER_GATES,
        1,
    )


def addresses(url: str | URL | Sequence[str | URL]) -> list[str | URL]:
    """Give the addresses that an address stands for.

    That is a list of addresses, or one with several hosts: `mariadb://desk@n1,n2:3307,n3/bank`.
    """
    if not isinstance(url, str):
        # An URL of SQLAlchemy is a tuple too.
        return [url] if isinstance(url, URL) else list(url)
    parts = _ADDRESS.fullmatch(url)
    if parts is None or "," not in parts["hosts"]:
        return [url]
    return [f"{parts['head']}{host}{parts['tail']}" for host in parts["hosts"].split(",")]


def weight(node: str, key: str) -> bytes:
    """Give how much a node is wanted for a key: the one with the most comes first.

    It depends on nothing else; so when a node goes, the keys of the others stay where they are.
    """
    return blake2b(f"{node}\n{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


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
        self._tried = False
        self.rests_until = 0.0
        event.listen(self.engine, "connect", self._joined)

    def _options(self, url: URL) -> dict[str, Any]:
        options = super()._options(url)
        options["init_command"] += ", wsrep_sync_wait = 1"
        # A paused node, or one that donates its state, answers nobody. Longer than a wait for a
        # lock, and than it takes the others to go on without it.
        return options | {
            "connect_timeout": options["connect_timeout"] if "connect_timeout" in url.query else 3,
            "read_timeout": options["read_timeout"]
            if "read_timeout" in url.query
            else max(1, round(self._busy_timeout_s)) + 15,
        }

    def _joined(self, connection: Any, _: object = None) -> None:  # noqa: ANN401 - the driver's
        """Look at a new connection: the node has to be one of the same cluster as the others."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_state_uuid'")
                found = cursor.fetchone()
        except self.engine.dialect.loaded_dbapi.Error as error:
            raise StorageUnreachable(f"{self.name}: {error}") from error
        self._cluster.check(self.name, "" if found is None else found[1])

    def told(self, error: Exception) -> StorageError:
        """Give the error of ours that one of PyMySQL's means."""
        code = error.args[0] if error.args else None
        if code in self._UNSURE:
            return StorageUnreachable(f"{error.args[-1]} ({code})")
        return super().told(error)

    def connection(self, partner_id: str | None = None) -> PoolProxiedConnection:
        """Take a connection out of the node's pool."""
        try:
            return super().connection(partner_id)
        except StorageBusy as error:
            if isinstance(error.__cause__, PoolTimeout):
                raise
            # A new connection waits until the node has caught up, as `begin` does.
            raise StorageUnreachable(f"it is not in step with its cluster: {error}") from error

    def begin(self, connection: PoolProxiedConnection, *, writing: bool) -> None:
        """Begin when the node has caught up with what was acknowledged anywhere."""
        try:
            super().begin(connection, writing=writing)
        except StorageBusy as error:
            # Nothing is locked yet: the node cannot tell how far the others are.
            raise StorageUnreachable(f"it is not in step with its cluster: {error}") from error

    def usable(self) -> bool:
        """Tell whether to ask it now; after it has failed, the one who finds it rested tries it."""
        return not self._failures or (monotonic() >= self.rests_until and self.answers())

    def answers(self) -> bool:
        """Try whether the node takes a transaction; it is tried by one thread at a time."""
        with self._turn:
            if self._tried:
                return False
            self._tried = True
        try:
            self._try()
        except StorageError as error:
            self._rest(error)
            return False
        finally:
            self._tried = False
        self._failures = 0
        _log.warning("%s is used again", self.name)
        return True

    def _try(self) -> None:
        timeouts = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), _PROBE_S)
        dialect = self.engine.dialect
        _, address = dialect.create_connect_args(self._url)
        try:
            with closing(
                dialect.loaded_dbapi.connect(**address, **{**self._connect_args, **timeouts})
            ) as connection:
                connection.cursor().execute("START TRANSACTION")
                self._joined(connection)
        except dialect.loaded_dbapi.Error as error:
            raise StorageUnreachable(str(error)) from error

    def failed(self, why: StorageError) -> None:
        """Leave the node alone for a while; nothing new when it is already left alone."""
        if not self._failures or monotonic() >= self.rests_until:
            self._rest(why)

    def _rest(self, why: StorageError) -> None:
        with self._turn:
            longest = min(_FIRST_REST_S * 2**self._failures, _LONGEST_REST_S)
            # Several processes do not try it at the same moment.
            rest = random.uniform(0.75, 1.0) * longest  # noqa: S311 - no secret
            self._failures = min(self._failures + 1, _MOST_FAILURES)
            self.rests_until = monotonic() + rest
        _log.warning("%s is left alone for %.1f s: %s", self.name, rest, why)


class _Identity:
    """Which cluster it is: that of the node that was reached first."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._uuid: str | None = None

    def check(self, name: str, uuid: str) -> None:
        """Raise `StorageUnusable` when a node replicates nothing, or belongs to another cluster."""
        if not uuid.strip("0-"):
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
        #: Of one of the nodes: for its dialect.
        self.engine = self._nodes[0].engine

    def connection(self, partner_id: str | None = None) -> PoolProxiedConnection:
        """Take a connection to the partner's node, or to that which comes next for it."""
        key = _BANK if partner_id is None else partner_id
        for node in sorted(self._nodes, key=lambda each: weight(each.name, key), reverse=True):
            if node.usable():
                try:
                    return self._taken(node)
                except StorageUnreachable as error:
                    node.failed(error)
        # All of them have failed of late; one may be back before its rest is over.
        node = min(self._nodes, key=lambda each: each.rests_until)
        if node.answers():
            return self._taken(node)
        raise StorageUnreachable("no node of the cluster takes transactions")

    def _taken(self, node: _Node) -> PoolProxiedConnection:
        connection = node.connection()
        connection.info["node"] = node
        return connection

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
            for node in sorted(self._nodes, key=lambda each: each.name):
                try:
                    connections.append(locks.enter_context(node.upgrading()))
                except StorageUnreachable as error:
                    node.failed(error)
                except DBAPIError as error:
                    told = node.told(error.orig if isinstance(error.orig, Exception) else error)
                    if not isinstance(told, StorageUnreachable):
                        raise
                    node.failed(told)
            if not connections:
                raise StorageUnreachable("no node of the cluster can be reached")
            yield connections[0]
            _metadata.create_all(connections[0])

    def close(self) -> None:
        """Let go of all connections."""
        for node in self._nodes:
            node.close()


if TYPE_CHECKING:
    _: type[Database] = GaleraDatabase
