"""A bank to test the command line with: its database, mailbox and papers in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from attrs import frozen

from consignment.adapters.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AKSU", "EXPECTED", "ORDER", "PARTNER", "Bank", "codes"]

AKSU = Path(__file__).resolve().parents[2] / "examples" / "aksu"
EXPECTED: dict[str, Any] = json.loads((AKSU / "expected.json").read_text("utf-8"))
PARTNER = "aksu-luyuan"
ORDER = "DM-2026-0901:aksu-luyuan"

#: Instants of the story.
ADMITTED = "2026-08-20T09:00:00+08:00"
ORDERED = "2026-09-01T10:00:00+08:00"
COMPLETED = "2026-11-03T09:00:00+08:00"


@frozen
class Bank:
    """Runs commands on one database and mailbox, in this process or as processes."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'bank.db'}"

    @property
    def mailbox(self) -> Path:
        return self.folder / "mailbox"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CONSIGNMENT_DATABASE": self.database,
            "CONSIGNMENT_MAILBOX": str(self.mailbox),
        }

    def run(self, *arguments: object, expect: int = 0) -> Any:  # noqa: ANN401 - JSON
        """Run a command with `--json` and give its document; nothing is on standard error."""
        code, out, err = self.say("--json", *arguments)
        assert (code, err) == (expect, ""), out + err
        return json.loads(out)

    def say(self, *arguments: object) -> tuple[int, str, str]:
        """Run a command as people do; give exit code, standard output and standard error."""
        place = ("--database", self.database, "--mailbox", str(self.mailbox))
        self.capsys.readouterr()
        code = main([*place, *map(str, arguments)])
        out, err = self.capsys.readouterr()
        return code, out, err

    @contextmanager
    def start(self, *arguments: object, **settings: Any) -> Iterator[subprocess.Popen[bytes]]:  # noqa: ANN401 - of Popen
        """Start a command as a process of its own, which is ended at the latest with the block."""
        program = settings.pop("program", ("-m", "consignment.adapters.cli"))
        command = [sys.executable, *program, *map(str, arguments)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, **{"env": self.environment, **pipes, **settings}) as process:
            try:
                yield process
            finally:
                if process.poll() is None and sys.exc_info()[0] is not None:
                    process.kill()

    def process(self, *arguments: object, **settings: Any) -> tuple[int, str, str]:  # noqa: ANN401 - of Popen
        """Run a command as a process of its own; give exit code, output and error output."""
        with self.start(*arguments, **settings) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out.decode(), err.decode()

    def process_to(self, stdout: BinaryIO, *arguments: object) -> tuple[int, str]:
        """Run a command whose output goes elsewhere; give exit code and error output."""
        with self.start(*arguments, stdout=stdout) as process:
            _, err = process.communicate(timeout=60)
        return process.returncode, err.decode()

    def write(self, name: str, content: object) -> Path:
        """Write a file: text and bytes as they are, anything else as JSON."""
        path = self.folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            path.write_text(text, "utf-8")
        return path

    def changed(self, name: str, **members: object) -> Path:
        """Write a paper of the story with other members."""
        return self.write(name, {**json.loads((AKSU / name).read_text("utf-8")), **members})

    # The story, up to a point.

    def opened(self) -> Bank:
        """Have a database, and the policy."""
        self.run("init")
        self.run("policy", "set", AKSU / "policy.json", "--at", ADMITTED)
        return self

    def admitted(self) -> Bank:
        """Have the partner admitted, and its products."""
        self.opened()
        self.run("admit", AKSU / "admission.json", "--at", ADMITTED)
        self.run("import", PARTNER, AKSU / "products.csv", "--at", ADMITTED)
        return self

    def ready(self) -> Bank:
        """Have the terms too."""
        self.admitted()
        self.run("quota", "set", AKSU / "quotas.json", "--at", ADMITTED)
        self.run("sales-partner", "add", AKSU / "sales_partner.json", "--at", ADMITTED)
        self.run("rule", "add", AKSU / "rule.json", "--at", ADMITTED)
        return self

    def placed(self) -> Bank:
        """Have the order placed."""
        self.ready()
        self.run("order", "place", AKSU / "demand.json", "--at", ORDERED)
        return self

    def completed(self) -> Bank:
        """Have the order completed, and not settled."""
        self.placed()
        messages = AKSU / "messages.jsonl"
        self.run("receive", "--partner", PARTNER, messages, "--at", COMPLETED)
        return self


def codes(refused: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Give the codes of a refusal."""
    assert list(refused) == ["refused"]
    return [each["code"] for each in refused["refused"]]
