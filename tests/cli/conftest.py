"""A bank in a folder of its own, for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.bank import Bank

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Bank:
    """Make a bank without a database yet; nothing of the environment reaches it."""
    for name in ("CONSIGNMENT_DATABASE", "CONSIGNMENT_MAILBOX", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Bank(tmp_path, capsys)
