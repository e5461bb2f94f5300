"""The story's figures against those worked out by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

from consignment.adapters.cli.demo.stage import Stage, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consignment.adapters.cli.console import Console

__all__ = ["Checked", "check"]


@frozen
class Checked:
    """How many figures were compared, and which are not as expected."""

    figures: int
    differences: list[str]
    step: Step


def check(stage: Stage) -> Checked:
    """Compare what came out with `expected.json`."""
    expected = json.loads(stage.paper("expected.json"))
    compared = list(_compared(expected, stage.results, ""))
    differences = [fault for fault in compared if fault]

    def show(console: Console) -> None:
        if differences:
            for each in differences:
                console.say(each, "bad")
            console.say(f"{len(differences)} of {len(compared)} figures differ.", "bad")
        else:
            console.say(
                f"✓ All {len(compared)} figures equal those worked out by hand, to the cent "
                "(examples/aksu/expected.json).",
                "good",
            )

    data = {"figures": len(compared), "differences": differences}
    return Checked(len(compared), differences, Step("check", "Check 核对", data, show))


def _compared(expected: Any, found: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Give for each figure what is wrong with it, or nothing."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            member = found.get(name) if isinstance(found, dict) else None
            yield from _compared(value, member, f"{path}.{name}" if path else name)
    else:
        yield "" if expected == found else f"{path}: {found!r}, expected {expected!r}"
