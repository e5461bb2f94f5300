"""The command line: drives the desk on the embedded default, for people and for programs.

`main` is the entry point. A command is a function in `commands` that gives an `Answer`: one
document for `--json`, and how people are shown the same.
"""

from __future__ import annotations

from consignment.adapters.cli.running import main

__all__ = ["main"]
