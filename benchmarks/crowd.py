"""Several processes that place orders and report sales at once, and what bounds them.

A process is `python -m benchmarks.crowd URL KIND NUMBER COUNT`: it makes ready, waits for a line on
its input, works, and prints how long it took.
"""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psutil
from attrs import frozen
from sqlalchemy import text

from benchmarks import bank
from benchmarks.cases import PRODUCTS
from benchmarks.databases import opened_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.databases import Databases

__all__ = ["Crowd", "crowds"]

_PROCESSES = 8


@frozen
class Crowd:
    """What one and several processes reached a second, and what the machine did meanwhile.

    CPU is in cores: 2.0 is all that two cores can do. `flushes` are those of the server's log, a
    second; None where the server does not tell.
    """

    kind: str
    one: float
    many: float
    cores: int
    clients_cpu: float
    server_cpu: float
    machine_cpu: float
    flushes: float | None

    @property
    def growth(self) -> float:
        """Several processes' rate ÷ one process's."""
        return self.many / self.one


def crowds(databases: Databases, count: int) -> Iterator[Crowd]:
    """Measure orders, sales reports and batches of 100 orders, so many in all."""
    base = bank.stocked(bank.founded(databases.create("crowd")), PRODUCTS)
    wanted = bank.demands(count * 2, 1, PRODUCTS)
    bank.report(bank.place(base, wanted), bank.accepted(wanted))
    for kind, units in (("orders", count), ("reports", count), ("orders 100 at a time", count * 5)):
        one = _run(databases, base, kind, 1, units)
        many = _run(databases, base, kind, _PROCESSES, units)
        yield Crowd(
            kind,
            one[0],
            many[0],
            psutil.cpu_count() or 1,
            many[1],
            many[2],
            many[3],
            many[4],
        )


def _run(
    databases: Databases, base: str, kind: str, processes: int, count: int
) -> tuple[float, float, float, float, float | None]:
    url = databases.copy(base, "crowd_copy")
    each = count // processes
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.crowd", url, kind, str(number), str(each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    try:
        for worker in workers:
            assert _told(worker) == "ready\n"
        # Some servers have a process for each connection; they are there from here to the end.
        servers = _servers(databases.engine)
        flushes, server_s, machine_s = _flushes(databases.engine, url), _cpu(servers), _machine()
        begun = perf_counter()
        for worker in workers:
            _tell(worker)
        clients_s = sum(float(_told(worker)) for worker in workers)
        took = perf_counter() - begun
        server_s, machine_s = _cpu(servers) - server_s, _machine() - machine_s
        after = _flushes(databases.engine, url)
        for worker in workers:
            _tell(worker)
            worker.wait()
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    databases.drop(url)
    synced = None if flushes is None or after is None else (after - flushes) / took
    return each * processes / took, clients_s / took, server_s / took, machine_s / took, synced


def _tell(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("go on\n")
    worker.stdin.flush()


def _told(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


def _servers(engine: str) -> list[psutil.Process]:
    names = {"postgresql": "postgres", "mariadb": "mariadbd"}
    wanted = names.get(engine)
    return [each for each in psutil.process_iter(["name"]) if each.info["name"] == wanted]


def _cpu(processes: list[psutil.Process]) -> float:
    total = 0.0
    for each in processes:
        try:
            used = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
    return total


def _machine() -> float:
    used = psutil.cpu_times()
    return float(used.user + used.system + used.nice)


def _flushes(engine: str, url: str) -> float | None:
    question = {
        "postgresql": "SELECT wal_sync FROM pg_stat_wal",
        "mariadb": "SHOW GLOBAL STATUS LIKE 'Innodb_os_log_fsyncs'",
    }.get(engine)
    if question is None:
        return None
    made = opened_engine(url, autocommit=True)
    with made.connect() as connection:
        row = connection.execute(text(question)).first()
    made.dispose()
    return None if row is None else float(row[-1])


def _orders(url: str, number: int, count: int) -> Callable[[], None]:
    desk = bank.opened(url)
    desk.quotas.show()
    wanted = bank.demands(count, 1, PRODUCTS, first=number * 100_000, prefix="P")

    def work() -> None:
        for demand in wanted:
            desk.dispatch.place(demand)

    return work


def _batches(url: str, number: int, count: int) -> Callable[[], None]:
    desk = bank.opened(url)
    desk.quotas.show()
    wanted = bank.demands(count, 1, PRODUCTS, first=number * 100_000, prefix="P")

    def work() -> None:
        for i in range(0, count, 100):
            desk.dispatch.place_many(wanted[i : i + 100])

    return work


def _reports(url: str, number: int, count: int) -> Callable[[], None]:
    desk = bank.opened(url)
    desk.quotas.show()
    reports = [bank.sold(each) for each in bank.demands(count, 1, PRODUCTS, first=number * count)]

    def work() -> None:
        for each in reports:
            assert desk.reporting.take(bank.PARTNER, each).taken

    return work


def main(url: str, kind: str, number: str, count: str) -> None:
    """Be one of the processes; prints the CPU seconds it took."""
    kinds: dict[str, Any] = {
        "orders": _orders,
        "reports": _reports,
        "orders 100 at a time": _batches,
    }
    work = kinds[kind](url, int(number), int(count))
    print("ready", flush=True)
    sys.stdin.readline()
    me = psutil.Process()
    before = _cpu([me])
    work()
    print(_cpu([me]) - before, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
