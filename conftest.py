# The documentation runs as tests: README.md and everything under docs/.
#
# Each document has a temporary working directory with a copy of examples/, and its blocks run in
# order:
#
# - `python`: in one namespace for the document; a block whose first line is a comment with the
#   name of a file (`# core_bank.py`) is that file, and is written for later blocks to import;
# - `text`: what the `python` block above it prints; `...` is anything;
# - `console`: each line that begins with `$ ` is a command (`> ` continues it), run by a shell
#   that finds the installed `consignment`. The lines below it are what it prints, where `...` is
#   anything; without any, its output does not matter. It has to end with 0, unless the next
#   command is `echo $?`.
#
# A block after `<!-- skip: next -->` does not run, and says why.
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from difflib import unified_diff
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from io import StringIO
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from sybil import Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sybil.example import Example

_ROOT = Path(__file__).parent
_FILE = re.compile(r"# ([\w-]+\.\w+)\n")
#: Below the heads of a table; how long it is depends on how wide the columns are.
_RULE = re.compile("─+")
_TIMEOUT_S = 240

# Names that no document uses.
_PRINTED = "__printed"
_LEFT = "__left"

_evaluate = PythonEvaluator()


def _python(example: Example) -> None:
    source = str(example.parsed)
    if named := _FILE.match(source):
        Path(named[1]).write_text(source, encoding="utf-8")
        return
    with redirect_stdout(StringIO()) as printed:
        _evaluate(example)
    example.namespace[_PRINTED] = printed.getvalue()


def _text(example: Example) -> str | None:
    return _differs(str(example.parsed), example.namespace.pop(_PRINTED, ""))


def _differs(want: str, got: str) -> str | None:
    flags = ELLIPSIS | NORMALIZE_WHITESPACE
    shown, printed = (_RULE.sub("───", text.rstrip("\n") + "\n") for text in (want, got))
    if OutputChecker().check_output(shown, printed, flags):
        return None
    changes = unified_diff(want.splitlines(), got.splitlines(), "shown", "got", lineterm="")
    return "\n".join(changes)


def _commands(block: str) -> Iterator[tuple[str, str]]:
    """Give each command with the output that is shown below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        more = 1
        while more < len(lines) and lines[more].startswith("> "):
            more += 1
        command = "\n".join([lines[0], *(line[2:] for line in lines[1:more])])
        yield command, "\n".join(lines[more:]).rstrip("\n")


def _console(example: Example) -> str | None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)]),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "PYTHONUTF8": "1",
    }
    status = 0
    commands = list(_commands(str(example.parsed)))
    for i, (command, want) in enumerate(commands):
        done = subprocess.run(  # noqa: S603 - what our own documents say
            ["/bin/sh", "-c", f"(exit {status})\n{command}"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_TIMEOUT_S,
            check=False,
        )
        status, got = done.returncode, done.stdout
        if status and not (i + 1 < len(commands) and commands[i + 1][0] == "echo $?"):
            return f"$ {command}\nended with {status}:\n{got}"
        if want and (changes := _differs(want, got)):
            return f"$ {command}\n{changes}"
    return None


def _enter(namespace: dict[str, Any]) -> None:
    """Make the document's working directory, and go there."""
    directory = Path(mkdtemp(prefix="consignment-docs-")).resolve()
    namespace[_LEFT] = Path.cwd(), directory
    shutil.copytree(_ROOT / "examples", directory / "examples")
    sys.path.insert(0, str(directory))
    os.chdir(directory)


def _leave(namespace: dict[str, Any]) -> None:
    """Go back, and take the working directory and what was imported from it away."""
    before, directory = namespace[_LEFT]
    os.chdir(before)
    sys.path.remove(str(directory))
    for name, module in list(sys.modules.items()):
        if (file := getattr(module, "__file__", None)) and Path(file).parent == directory:
            del sys.modules[name]
    shutil.rmtree(directory)


pytest_collect_file = Sybil(
    parsers=[
        CodeBlockParser("python", _python),
        CodeBlockParser("text", _text),
        CodeBlockParser("console", _console),
        SkipParser(),
    ],
    path=str(_ROOT),
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=_enter,
    teardown=_leave,
).pytest()
