"""A line between a client and its server that breaks where it is told to."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["COMMIT", "Break", "Proxy"]

#: What the client sends to commit; it also sends `READ COMMITTED`.
COMMIT = re.compile(rb"\bCOMMIT\b")


class Break(StrEnum):
    """How the line breaks."""

    #: What the client says does not reach the server.
    BEFORE = "before"
    #: The server has carried it out, and its answer does not reach the client.
    AFTER = "after"


class Proxy:
    """Hands on what client and server say to each other, over TCP on this machine.

    `cut` makes the line break once; `refuse` and `mute` make it useless until `restore`.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._lock = threading.Lock()
        self._lines: set[_Line] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self._quiet = False
        self._after_that = 0
        self._countdown: int | None = None
        self._wanted: re.Pattern[bytes] | None = None
        self._how = Break.BEFORE
        #: How many connections there were, and how many of them broke as they were told to.
        self.accepted = 0
        self.broken = 0
        self.restore()

    def cut(
        self,
        how: Break,
        *,
        nth: int = 1,
        at: re.Pattern[bytes] | None = None,
        then_refuse: int = 0,
    ) -> None:
        """Break the line at the nth thing that the client says from now on.

        With `at`, only what matches counts. So many connections that are made after that are
        closed at once.
        """
        with self._lock:
            self._how, self._countdown, self._wanted = how, nth, at
            self._after_that = then_refuse

    def mend(self) -> bool:
        """Break no more; tell whether it did break since `cut`."""
        with self._lock:
            waiting, self._countdown = self._countdown is not None, None
            return not waiting

    def said(self, content: bytes) -> Break | None:
        """Tell whether the line breaks at what a client says."""
        with self._lock:
            if self._countdown is None or (self._wanted and not self._wanted.search(content)):
                return None
            self._countdown -= 1
            if self._countdown:
                return None
            self._countdown = None
            self.broken += 1
            return self._how

    def refuse(self) -> None:
        """Close all connections, and refuse new ones."""
        with self._lock:
            if self._listener is not None:
                # Closed alone it would still be listening until `accept` returns.
                with suppress(OSError):
                    self._listener.shutdown(socket.SHUT_RDWR)
                self._listener.close()
                self._listener = None
        self.drop()

    def mute(self) -> None:
        """Close all connections; new ones are accepted, and nothing is ever said on them."""
        self._quiet = True
        self.drop()

    def drop(self) -> None:
        """Close all connections."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.close()

    def restore(self) -> None:
        """Be a good line again, at the same port."""
        if self._quiet:
            self._quiet = False
            self.drop()
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self.port))
                self.port = self._listener.getsockname()[1]
                accepting = threading.Thread(
                    target=self._accept, args=(self._listener,), daemon=True
                )
                accepting.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                if self._after_that and self._countdown is None:
                    self._after_that -= 1
                    client.close()
                    continue
                line = _Line(self, client, None if self._quiet else self._server)
                self._lines.add(line)
            line.start()

    def gone(self, line: _Line) -> None:
        """Forget a line that is closed."""
        with self._lock:
            self._lines.discard(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()


class _Line:
    """One connection of a client, and that to the server which belongs to it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: tuple[str, int] | None) -> None:
        self._proxy = proxy
        self._client = client
        self._silent = server is None
        self._server = socket.socket() if server is None else socket.create_connection(server)
        for each in (self._client, self._server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._swallow = False

    def start(self) -> None:
        if self._silent:
            return
        for pump in (self._ask, self._answer):
            threading.Thread(target=pump, daemon=True).start()

    def _ask(self) -> None:
        with suppress(OSError):
            while content := self._client.recv(1 << 16):
                how = self._proxy.said(content)
                if how is Break.BEFORE:
                    break
                self._swallow = how is Break.AFTER
                self._server.sendall(content)
        if not self._swallow:
            self.close()

    def _answer(self) -> None:
        with suppress(OSError):
            while content := self._server.recv(1 << 16):
                if self._swallow:
                    break
                self._client.sendall(content)
        self.close()

    def close(self) -> None:
        for each in (self._client, self._server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._proxy.gone(self)
