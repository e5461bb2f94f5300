"""From the process's arguments to its exit code."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from consignment.adapters.cli.answer import Exit
from consignment.adapters.cli.arguments import parsed, wants_json
from consignment.adapters.cli.commands import add_commands
from consignment.adapters.cli.console import console_on
from consignment.adapters.cli.documents import DocumentWriter
from consignment.adapters.cli.refusing import KNOWN, failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give the exit code (see `Exit`); nothing that goes wrong is raised.

    `--help` and `--version` raise `SystemExit`, as argparse does.
    """
    chosen = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = _run(chosen)
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python flushes once more when it ends.
        _to_nowhere(sys.stdout)
        return Exit.BROKEN_PIPE
    except _Unwritten as error:
        _to_nowhere(sys.stdout)
        print(f"the output cannot be written: {error}", file=sys.stderr)
        return Exit.UNWRITTEN
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception:  # noqa: BLE001 - a fault of the program: the only place that shows it
        traceback.print_exc()
        return Exit.FAULT
    return code


def _run(arguments: Sequence[str]) -> Exit:
    json = wants_json(arguments)
    _prepare_streams(json=json)
    writer = DocumentWriter(sys.stdout)
    database = ""
    try:
        asked = parsed(arguments, add_commands)
        database = asked.database
        with asked.opened:
            answer = asked.run(asked)
            with _writing():
                if json:
                    writer.write(answer.document)
                else:
                    answer.show(console_on(sys.stdout, width=answer.width))
                sys.stdout.flush()
            return answer.exit_code
    except BrokenPipeError:
        raise
    except KNOWN as error:
        failure = failed(error, database=database)
        with _writing():
            if json and not writer.begun:
                writer.write(failure.document)
            else:
                failure.show(console_on(sys.stderr))
            sys.stdout.flush()
        return failure.exit_code


class _Unwritten(Exception):
    """The output could not be written."""


@contextmanager
def _writing() -> Iterator[None]:
    """Tell trouble with the output from trouble with what is read."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _Unwritten(error.strerror or str(error)) from error


def _prepare_streams(*, json: bool) -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(
                encoding="utf-8" if json else None,
                # What cannot be written here (an argument that was no text) must not end in an
                # error about the error.
                errors="backslashreplace",
            )


def _to_nowhere(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
