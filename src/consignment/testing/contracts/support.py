"""What the suites need of a test library, so that they need none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar
from unittest import SkipTest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["at_once", "raises", "skip_without"]

T = TypeVar("T")


@contextmanager
def raises(error: type[BaseException]) -> Iterator[None]:
    """Assert that the block raises an error."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")


def at_once(*works: Callable[[], T]) -> Sequence[T]:
    """Run works in threads that start together; give their results in order."""
    start = Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        start.wait(timeout=30)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def skip_without(lacks: frozenset[T], capability: T) -> None:
    """Skip the test when the adapter declares that it cannot do this."""
    if capability in lacks:
        raise SkipTest(f"declared in `lacks`: {capability}")
