"""The demo: the story of `examples/aksu`, its figures checked."""

from __future__ import annotations

import unicodedata
from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar

from consignment.adapters.cli.demo.checking import check
from tests.cli.bank import AKSU, EXPECTED, ORDER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.bank import Bank


def test_the_package_has_the_example() -> None:
    """The papers in the package are those of `examples/aksu`, byte for byte."""
    packaged = files("consignment.adapters.cli").joinpath("aksu")
    ours = {each.name: each.read_bytes() for each in packaged.iterdir()}
    assert ours == {path.name: path.read_bytes() for path in AKSU.iterdir()}


def test_the_demo_for_programs(bank: Bank) -> None:
    """One document has each step's data, and all figures equal those worked out by hand."""
    document = bank.run("demo")
    assert document["equal"]
    assert document["differences"] == []
    assert document["figures"] > 50
    steps = {each["step"]: each for each in document["steps"]}
    assert list(steps) == [
        "admission",
        "import",
        "terms",
        "order",
        "reports",
        "progress",
        "settlement",
        "credits",
        "check",
    ]
    outcomes = [each["outcome"] for each in steps["reports"]["messages"]]
    assert outcomes == ["taken"] * 4 + ["repeated"] + ["taken"] * 5
    assert steps["order"]["another_refused"][0]["code"] == "quota_exceeded"
    assert steps["order"]["order"]["order_id"] == ORDER
    assert steps["credits"]["balances"]["partner:aksu-luyuan"] == "-3642.31"
    assert (steps["credits"]["credited"], steps["credits"]["credited_again"]) == (2, 0)
    assert list(bank.folder.iterdir()) == []


def test_the_demo_for_people(bank: Bank) -> None:
    """The story fits 80 columns, has the figures, and ends with the check."""
    code, out, err = bank.say("demo")
    assert (code, err) == (0, "")
    for line in out.splitlines():
        wide = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
        assert wide <= 80, line
        assert line == line.rstrip()
    for figure in ("23,076.00", "22,939.20", "22,166.90", "6218.41", "2,398.63", "-3,642.31"):
        assert figure in out
    assert "figures equal those worked out by hand" in out.splitlines()[-2]


def test_a_figure_that_is_not_as_expected(bank: Bank) -> None:
    """The check names each figure that differs."""

    class Stage:
        results: ClassVar = {
            **EXPECTED,
            "order": {"order_id": ORDER, "agreed_value": "1.00"},
            "import": None,
        }

        def paper(self, name: str) -> bytes:
            return (AKSU / name).read_bytes()

    checked = check(Stage())  # type: ignore[arg-type] # as much of a stage as is needed
    assert "order.agreed_value: '1.00', expected '23076.00'" in checked.differences
    assert "import.created: None, expected 3" in checked.differences
    said: list[str] = []

    class Console:
        def say(self, text: str, style: str = "") -> None:
            said.append(f"{style} {text}")

    checked.step.show(Console())  # type: ignore[arg-type] # likewise
    assert said[-1] == f"bad {len(checked.differences)} of {checked.figures} figures differ."
    assert bank.folder.is_dir()


def test_the_demo_leaves_nothing(bank: Bank, tmp_path: Path) -> None:
    """The demo needs no database and leaves none."""
    assert bank.say("demo")[0] == 0
    assert list(tmp_path.iterdir()) == []
