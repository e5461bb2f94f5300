"""Three Galera nodes on loopback, in a folder of their own: started, stopped, killed, paused.

    with Cluster() as cluster:
        cluster.start()
        cluster.nodes[0].kill()
        cluster.nodes[0].start()
        cluster.wait_synced()

Nothing is left behind: neither processes nor files. State transfer by rsync works only as an
unprivileged user, so root starts the servers as `mysql`, or `nobody`.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from contextlib import closing, suppress
from itertools import product
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

import psutil
import pymysql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

__all__ = ["Cluster", "Node", "missing"]

_PROVIDERS = (
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib64/galera/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib/libgalera_smm.so",
)
_PROGRAMS = ("mariadbd", "mariadb-install-db", "wsrep_sst_rsync", "rsync")
_USERS = ("mysql", "nobody")

#: Below the ports that systems hand out to clients: what is free now stays free while a node is
#: down. Each node takes four: clients, group communication, incremental and whole state transfer.
_FIRST_PORT, _LAST_PORT = 13306, 32000
_PORTS_OF_A_NODE = 4

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
#: How long a question about a node's state may take: a paused node accepts, and says nothing.
_ASK_TIMEOUT_S = 2

_RECOVERED = re.compile(r"Recovered position: (?P<uuid>[0-9a-f-]{36}):(?P<seqno>-?\d+)")

# `docs/how-to/cluster.md` tells a host which of these matter to it, and why. Each server has its
# own folder for temporary tables: when it starts, it removes those of all others in there.
_CONFIGURATION = """\
[mariadbd]
datadir = {data}
socket = {folder}/socket
pid_file = {folder}/pid
log_error = {folder}/server.log
tmpdir = {folder}/tmp
bind_address = 127.0.0.1
port = {port}
skip_name_resolve
character_set_server = utf8mb4
max_connections = 300
performance_schema = OFF
innodb_buffer_pool_size = 64M
innodb_log_file_size = 64M
innodb_flush_log_at_trx_commit = 1
innodb_autoinc_lock_mode = 2
binlog_format = ROW
default_storage_engine = InnoDB
wsrep_on = ON
wsrep_provider = {provider}
wsrep_cluster_name = consignment-test
wsrep_cluster_address = gcomm://{peers}
wsrep_node_name = node{number}
wsrep_node_address = 127.0.0.1
wsrep_slave_threads = 2
wsrep_sst_method = rsync
wsrep_sst_receive_address = 127.0.0.1:{sst_port}
wsrep_provider_options = "{options}"
"""
_OPTIONS = (
    "gmcast.listen_addr = tcp://127.0.0.1:{group_port}",
    "ist.recv_addr = 127.0.0.1:{ist_port}",
    "gcache.size = 32M",
    # A node that says nothing is left behind after about two seconds (five by default).
    "evs.keepalive_period = PT0.5S",
    "evs.inactive_check_period = PT0.25S",
    "evs.suspect_timeout = PT2S",
    "evs.inactive_timeout = PT4S",
    "evs.install_timeout = PT4S",
)


def missing() -> str | None:
    """Tell what this machine lacks for a cluster, None when everything is there."""
    lacking = [program for program in _PROGRAMS if shutil.which(program) is None]
    if not any(Path(each).exists() for each in _PROVIDERS):
        lacking.append("libgalera_smm.so")
    return f"not installed: {', '.join(lacking)}" if lacking else None


class Node:
    """One server: its files, its ports, and the process while there is one."""

    def __init__(self, number: int, folder: Path, ports: Iterable[int]) -> None:
        self.number = number
        self.folder = folder
        self.port, self.group_port, self.ist_port, self.sst_port = ports
        self._process: subprocess.Popen[bytes] | None = None

    def __str__(self) -> str:
        return f"node{self.number}"

    @property
    def running(self) -> bool:
        """Tell whether there is a process, paused or not."""
        return self._process is not None and self._process.poll() is None

    def url(self, database: str) -> str:
        """Give the address of a database on this node."""
        return f"mariadb+pymysql://root@127.0.0.1:{self.port}/{database}"

    def connect(self, **options: Any) -> pymysql.Connection[Any]:  # noqa: ANN401 - the driver's
        """Connect as root, with short timeouts unless others are given."""
        timeouts = dict.fromkeys(
            ("connect_timeout", "read_timeout", "write_timeout"), _ASK_TIMEOUT_S
        )
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", **{**timeouts, **options}
        )

    def status(self, name: str) -> str | None:
        """Give a status variable of the replication, None when the node does not answer."""
        try:
            with closing(self.connect()) as connection, connection.cursor() as cursor:
                cursor.execute("SHOW GLOBAL STATUS LIKE %s", (f"wsrep_{name}",))
                row = cursor.fetchone()
        except pymysql.Error:
            return None
        return None if row is None else str(row[1])

    def synced(self) -> bool:
        """Tell whether the node belongs to the cluster and has caught up with it."""
        return self.status("local_state_comment") == "Synced" and self.status("ready") == "ON"

    def kill(self) -> None:
        """End the process at once, as `kill -9` does."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(_STOP_TIMEOUT_S)
            self._end_others()
            self._process = None

    def stop(self) -> None:
        """Shut the server down in order."""
        if self._process is not None:
            self._signal(signal.SIGTERM)
            self._process.wait(_STOP_TIMEOUT_S)
            self._process = None

    def pause(self) -> None:
        """Stop the process where it is: its ports stay open, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def start(self, *, bootstrap: bool = False) -> None:
        """Start the process and return; with `bootstrap` as the first of a new cluster."""
        assert not self.running, f"{self} is running"
        position = self._recovered()
        arguments = [] if position is None else [f"--wsrep-start-position={position}"]
        if bootstrap:
            self._make_bootable()
            arguments.append("--wsrep-new-cluster")
        self._process = subprocess.Popen(
            [*self._command(), *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **_unprivileged(),
        )

    def wait_synced(
        self, timeout_s: float = _START_TIMEOUT_S, *, among: Sequence[Node] = ()
    ) -> None:
        """Wait until the node has caught up, as long as it and those that it is `among` run.

        Raises `TimeoutError` with the ends of their logs.
        """
        deadline = monotonic() + timeout_s
        while not self.synced():
            if not all(node.running for node in (self, *among)) or monotonic() > deadline:
                logs = "\n".join(
                    f"{node} {'runs' if node.running else 'is down'}:\n{node.log()[-4000:]}"
                    for node in {self, *among}
                )
                raise TimeoutError(f"{self} does not come up\n{logs}")
            sleep(0.05)

    def log(self) -> str:
        """Give the server's log."""
        path = self.folder / "server.log"
        return path.read_text("utf-8", errors="replace") if path.exists() else ""

    def seqno(self) -> int:
        """Give how far a node that is down had come: the last write-set that it has committed."""
        position = self._recovered()
        return -1 if position is None else int(position.rpartition(":")[2])

    def _recovered(self) -> str | None:
        """Give the position of the data, which a crash leaves to be found out; None for no data."""
        state = self.folder / "data" / "grastate.dat"
        if not state.exists():
            return None
        known = dict(re.findall(r"^(\w+): +(\S+)$", state.read_text(), re.MULTILINE))
        if known.get("seqno", "-1") != "-1":
            return f"{known['uuid']}:{known['seqno']}"
        log = self.folder / "recovery.log"
        subprocess.run(
            [*self._command(), "--wsrep-recover", f"--log-error={log}"],
            cwd=self.folder,
            check=True,
            timeout=_START_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **_unprivileged(),
        )
        text = log.read_text("utf-8", errors="replace")
        log.unlink()
        found = _RECOVERED.search(text)
        return None if found is None else f"{found['uuid']}:{found['seqno']}"

    def _make_bootable(self) -> None:
        data = self.folder / "data"
        # With this a node waits for all those it was last together with.
        (data / "gvwstate.dat").unlink(missing_ok=True)
        state = data / "grastate.dat"
        if state.exists():
            text = state.read_text()
            state.write_text(text.replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"))

    def _command(self) -> list[str]:
        return ["mariadbd", f"--defaults-file={self.folder / 'my.cnf'}"]

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            assert self._process is not None
            self._process.send_signal(number)

    def _end_others(self) -> None:
        """End what the server had started: a state transfer's shell and rsync."""
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or ()
            if any(str(self.folder) in argument for argument in command):
                with suppress(psutil.NoSuchProcess):
                    process.kill()


class Cluster:
    """Several nodes in a temporary folder, which goes with them."""

    def __init__(self, size: int = 3) -> None:
        self.folder = Path(mkdtemp(prefix="galera-"))
        own = _unprivileged()
        if own:
            os.chown(self.folder, own["user"], own["group"])
        first = _free_ports(size * _PORTS_OF_A_NODE)
        self.nodes = [
            Node(
                i,
                self.folder / f"node{i}",
                range(first + i * _PORTS_OF_A_NODE, first + (i + 1) * _PORTS_OF_A_NODE),
            )
            for i in range(size)
        ]

    def start(self) -> None:
        """Make the nodes' files and start them all; returns when they have come together."""
        template = self.folder / "template"
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                f"--datadir={template}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--innodb-log-file-size=64M",
                f"--tmpdir={template.parent}",
            ],
            cwd=self.folder,
            check=True,
            timeout=_START_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **_unprivileged(),
        )
        peers = ",".join(f"127.0.0.1:{node.group_port}" for node in self.nodes)
        provider = next(each for each in _PROVIDERS if Path(each).exists())
        for node in self.nodes:
            node.folder.mkdir()
            subprocess.run(["cp", "-a", template, node.folder / "data"], check=True)
            _write_configuration(node, peers, provider)
        shutil.rmtree(template)
        self._start_from(self.nodes[0])

    def restart(self) -> Node:
        """Start all nodes after all were killed; give the one that was furthest, and began.

        When one of them crashes meanwhile, all are killed and started once more.
        """
        assert not any(node.running for node in self.nodes)
        try:
            return self._start_from_furthest()
        except TimeoutError:
            for node in self.nodes:
                node.kill()
            return self._start_from_furthest()

    def _start_from_furthest(self) -> Node:
        seqnos = {node.number: node.seqno() for node in self.nodes}
        furthest = max(self.nodes, key=lambda node: seqnos[node.number])
        self._start_from(furthest)
        return furthest

    def _start_from(self, first: Node) -> None:
        started: list[Node] = []
        # One after the other: a donor serves one whole state transfer at a time.
        for node in sorted(self.nodes, key=lambda each: each is not first):
            node.start(bootstrap=node is first)
            node.wait_synced(among=started)
            started.append(node)

    def wait_synced(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait until every node has caught up, and all see each other."""
        deadline = monotonic() + timeout_s
        for node in self.nodes:
            node.wait_synced(max(0.0, deadline - monotonic()))
        while {node.status("cluster_size") for node in self.nodes} != {str(len(self.nodes))}:
            if monotonic() > deadline:
                raise TimeoutError("the nodes do not see each other")
            sleep(0.05)

    def close(self) -> None:
        """Kill what runs and remove the files."""
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _write_configuration(node: Node, peers: str, provider: str) -> None:
    options = "; ".join(_OPTIONS).format(group_port=node.group_port, ist_port=node.ist_port)
    text = _CONFIGURATION.format(
        data=node.folder / "data",
        folder=node.folder,
        port=node.port,
        provider=provider,
        peers=peers,
        number=node.number,
        sst_port=node.sst_port,
        options=options,
    )
    (node.folder / "my.cnf").write_text(text)
    (node.folder / "tmp").mkdir()
    own = _unprivileged()
    if own:
        for folder in (node.folder, node.folder / "tmp"):
            os.chown(folder, own["user"], own["group"])


def _unprivileged() -> dict[str, Any]:
    """Give whom root starts a process as; nothing for others, who start it as themselves."""
    if os.geteuid() != 0:
        return {}
    for name in _USERS:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError(f"root needs one of the users {', '.join(_USERS)} to start servers as")


def _free_ports(count: int) -> int:
    """Give the first of so many ports in a row that nobody listens on."""
    for first in range(_FIRST_PORT, _LAST_PORT, count):
        if all(_free(first + i, kind) for i, kind in product(range(count), ("127.0.0.1", ""))):
            return first
    raise RuntimeError("no ports are free")


def _free(port: int, host: str) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
