"""The grammar: options before and behind the command, the environment, and wrong usage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from consignment.adapters.cli import main
from tests.cli.bank import ADMITTED, AKSU, codes

if TYPE_CHECKING:
    from tests.cli.bank import Bank


def test_options_stand_before_and_behind(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    """Each option of every command works before the command, within it, and behind it."""
    options = ["--database", bank.database, "--mailbox", str(bank.mailbox), "--json"]
    at = ["--at", ADMITTED]
    assert main([*options, "init"]) == 0
    assert main(["init", *options]) == 0
    capsys.readouterr()
    for arguments in (
        [*options, *at, "policy", "set", str(AKSU / "policy.json")],
        ["policy", *options, *at, "set", str(AKSU / "policy.json")],
        ["policy", "set", str(AKSU / "policy.json"), *options, *at],
        [*options[:2], "policy", *at, "set", *options[2:], str(AKSU / "policy.json")],
    ):
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out) == {"version": "2026-1"}
    assert main(["journal", *options]) == 0
    (fact,) = json.loads(capsys.readouterr().out)
    assert fact["at"] == "2026-08-20T01:00:00Z"


def test_the_environment_sets_the_defaults(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CONSIGNMENT_DATABASE and CONSIGNMENT_MAILBOX are used; an option comes before them."""
    monkeypatch.setenv("CONSIGNMENT_DATABASE", f"sqlite:///{bank.folder / 'other.db'}")
    monkeypatch.setenv("CONSIGNMENT_MAILBOX", str(bank.folder / "letters"))
    assert main(["init"]) == 0
    assert (bank.folder / "other.db").exists()
    assert (bank.folder / "letters").is_dir()
    assert main(["init", "--database", bank.database]) == 0
    assert (bank.folder / "bank.db").exists()
    monkeypatch.setenv("CONSIGNMENT_DATABASE", "")
    monkeypatch.delenv("CONSIGNMENT_MAILBOX")
    assert main(["init"]) == 0
    assert (bank.folder / "consignment.db").exists()
    assert (bank.folder / "mailbox").is_dir()
    assert "ready" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sell"],
        ["partner"],
        ["partner", "suspend", "x"],
        ["progress"],
        ["progress", "--number", "a", "--name", "b"],
        ["progress", "--name", "a", "--limit", "many"],
        ["init", "--databas", "x"],
        ["init", "--at", "2026-11-03"],
        ["init", "--at", "2026-11-03T09:00:00"],
        ["init", "--at", "2026-13-03T09:00:00Z"],
        ["init", "--at", "0001-01-01T00:00:00+14:00"],
        ["work", "--interval", "0"],
        ["work", "--interval", "nan"],
        ["work", "--interval", "soon"],
        ["outbox", "list", "--state", "lost"],
        ["init", "extra"],
    ],
)
def test_wrong_usage(bank: Bank, arguments: list[str]) -> None:
    """Wrong usage ends with 2: one JSON document with `--json`, else usage and error for people."""
    refused = bank.run(*arguments, expect=2)
    assert codes(refused) == ["usage"]
    assert refused["refused"][0]["message"]
    code, out, err = bank.say(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: consignment")
    assert "error: " in err
    assert not (bank.folder / "bank.db").exists()


def test_json_as_an_argument_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` behind `--` is an argument, so people are told."""
    assert main(["sell", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help and version are told and end with 0."""
    with pytest.raises(SystemExit) as ended:
        main([option])
    assert ended.value.code == 0
    assert capsys.readouterr().out


def test_an_instant_with_offset(bank: Bank) -> None:
    """`--at` takes an instant in any offset, to the microsecond; the run is as of that instant."""
    bank.run("init")
    bank.run("policy", "set", AKSU / "policy.json", "--at", "2026-08-19T23:30:00.000001-01:30")
    assert bank.run("journal")[0]["at"] == "2026-08-20T01:00:00.000001Z"
