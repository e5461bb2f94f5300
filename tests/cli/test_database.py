"""A database that cannot be used is told by a code; nothing is made but by `init`."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from consignment.adapters.cli.refusing import failed
from consignment.domain.errors import StorageBusy
from tests.cli.bank import ADMITTED, AKSU, PARTNER, codes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.bank import Bank


def test_only_init_makes_a_database(bank: Bank) -> None:
    """A command without a database is told so, and leaves no file; `init` makes one, twice."""
    refused = bank.run("partner", "list", expect=2)
    assert codes(refused) == ["schema_missing"]
    assert refused["refused"][0]["database"] == bank.database
    assert list(bank.folder.iterdir()) == []
    first, second = bank.run("init"), bank.run("init")
    assert first == second == {"schema_version": first["schema_version"]}
    assert bank.mailbox.is_dir()
    assert bank.run("partner", "list") == []


def test_a_file_that_is_no_database(bank: Bank) -> None:
    """A file of something else is not a database, and stays as it is."""
    path = bank.write("bank.db", b"no database, but a letter" * 100)
    before = path.read_bytes()
    for command in (("init",), ("quota", "show")):
        assert codes(bank.run(*command, expect=2)) == ["database_unusable"]
    assert path.read_bytes() == before


def test_an_address_that_is_none(bank: Bank) -> None:
    """What is no address of a database is told without a traceback."""
    for url in ("nonsense", "oracle://x/y", "sqlite:////nowhere/at/all.db"):
        code, out, err = bank.say("init", "--database", url)
        assert (code, out) == (2, "")
        assert err.startswith("cannot be used: ")
        assert "Traceback" not in err


def test_a_password_is_not_shown() -> None:
    """Nothing of a database's address is told but the scheme, the hosts and the database."""
    for database, told in (
        ("postgresql://teller:secret@host/bank", "postgresql://host/bank"),
        ("postgresql+psycopg://teller@host:5433/bank", "postgresql+psycopg://host:5433/bank"),
        ("postgresql://teller:se@cret@host/bank", ""),
        ("postgresql://teller:sec/ret@host/bank", ""),
        ("postgresql://teller:secret", ""),
        ("postgresql://host/bank#password=secret", ""),
        ("postgresql://host/bank?password=s@cret", ""),
        ("postgresql://host/bank?password=secret&sslmode=require", "postgresql://host/bank"),
        ("mariadb://desk:secret@n1,n2:3307/bank?ssl_key=secret", "mariadb://n1,n2:3307/bank"),
        ("postgresql:teller:secret@host", ""),
        ("sqlite:///desk.db", "sqlite:///desk.db"),
    ):
        answer = failed(StorageBusy(), database=database)
        (shown,) = list(answer.document["refused"])
        assert shown["database"] == told


def test_a_newer_schema(bank: Bank) -> None:
    """A database of a later version of the library is left alone."""
    bank.run("init")
    with closing(sqlite3.connect(bank.folder / "bank.db")) as database, database:
        database.execute("UPDATE consignment_version SET version_num = '9999'")
    for command in (("init",), ("quota", "show")):
        assert codes(bank.run(*command, expect=2)) == ["schema_newer"]


def test_a_database_that_is_read_only(bank: Bank) -> None:
    """A database that can only be read answers questions and refuses changes."""
    bank.opened()
    url = f"sqlite:///file:{bank.folder / 'bank.db'}?mode=ro&uri=true"
    assert bank.run("quota", "show", "--database", url) == []
    path = bank.changed("policy.json", version="2026-2")
    refused = bank.run("policy", "set", path, "--database", url, expect=1)
    assert codes(refused) == ["database_read_only"]


def test_a_database_that_is_locked_by_another_process(bank: Bank) -> None:
    """While another process writes for too long, a change is refused and a question answered."""
    bank.opened()
    path = bank.changed("policy.json", version="2026-2")
    with closing(sqlite3.connect(bank.folder / "bank.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        code, out, err = bank.process("policy", "set", path, "--json")
        assert (code, err) == (1, "")
        assert '"code": "database_locked"' in out
        assert bank.process("quota", "show", "--json") == (0, "[]\n", "")
    assert bank.run("policy", "set", path) == {"version": "2026-2"}


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a mount of its own")
def test_a_database_that_is_full(bank: Bank, tmp_path: Path) -> None:
    """An import that finds no room is refused; what was committed before stays, and no more."""
    rows = "".join(f"N-{i},商品 {i},BX,CNY,1.00\n" for i in range(20_000))
    csv = bank.write("many.csv", "number,name,unit,currency,agreed_price\n" + rows)
    small = tmp_path / "small"
    small.mkdir()
    run = f"{sys.executable} -m consignment.adapters.cli --database sqlite:///{small}/bank.db"
    script = f"""
        mount -t tmpfs -o size=2m tmpfs {small} || exit 99
        {run} init --mailbox {small}/mailbox > {tmp_path}/told &&
        {run} policy set {AKSU}/policy.json --at {ADMITTED} >> {tmp_path}/told &&
        {run} admit {AKSU}/admission.json --at {ADMITTED} >> {tmp_path}/told || exit 98
        {run} import {PARTNER} {csv} --at {ADMITTED} --json
        echo "exit $?"
        {run} partner list
    """
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "120"},
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("may not mount")
    assert '"code": "database_full"' in done.stdout, done.stdout + done.stderr
    assert "exit 1" in done.stdout
    assert PARTNER in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a mount of its own")
def test_a_database_on_a_disk_that_is_read_only(tmp_path: Path) -> None:
    """Where SQLite cannot put its log beside the file, that is what is said."""
    disk = tmp_path / "disk"
    disk.mkdir()
    run = f"{sys.executable} -m consignment.adapters.cli --database sqlite:///{disk}/bank.db"
    script = f"""
        mount -t tmpfs -o size=8m tmpfs {disk} || exit 99
        {run} init --mailbox {disk}/mailbox > {tmp_path}/told || exit 98
        mount -o remount,ro {disk} || exit 99
        {run} policy set {AKSU}/policy.json --json
        echo "exit $?"
    """
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("may not mount")
    assert '"code": "database_read_only"' in done.stdout, done.stdout + done.stderr
    assert "exit 1" in done.stdout


def test_a_mailbox_that_is_not_there(bank: Bank) -> None:
    """`work` without its mailbox says so, ends with 1, and does the rest."""
    bank.run("init")
    bank.mailbox.rmdir()
    done = bank.run("work", expect=1)
    assert str(bank.mailbox) in done["received"]["trouble"]
    assert str(bank.mailbox) in bank.say("work")[1]
    bank.mailbox.write_text("a file")
    assert codes(bank.run("init", expect=2)) == ["folder_not_made"]
