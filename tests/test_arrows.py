"""The arrows of the architecture hold, and each contract has been seen to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONTRACTS: dict[str, dict[str, Any]] = {
    each["id"]: each for each in CONFIG["tool"]["importlinter"]["contracts"]
}

#: For each contract, the modules that break it, with what they import.
VIOLATIONS = {
    "domain": [
        ("domain/order.py", "import sqlalchemy"),
        ("domain/rule.py", "import time"),
        ("domain/quota.py", "from consignment.ports import clock"),
        ("domain/partner.py", "from consignment.admission import Admission"),
    ],
    "ports": [
        ("ports/clock.py", "from consignment.adapters.system import SystemClock"),
        ("ports/storage.py", "import sqlalchemy"),
    ],
    "capabilities": [
        ("dispatch.py", "import sqlite3"),
        ("_orders.py", "from consignment.adapters.memory import MemoryStorage"),
        ("progress.py", "from consignment.desk import Consignment"),
    ],
    "desk": [("desk.py", "import sqlalchemy")],
    "adapters-independent": [
        ("adapters/filedrop/drop.py", "from consignment.adapters.memory import MemoryMessaging"),
    ],
    "adapters-driven": [
        ("adapters/sqlalchemy/storage.py", "from consignment.dispatch import Dispatch"),
        ("adapters/memory/storage.py", "from consignment.desk import Consignment"),
    ],
    "formats": [("formats/documents.py", "from consignment.catalogue import Catalogue")],
    "testing": [("relay.py", "import pytest")],
}


def lint(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the tree below a root."""
    environment = {name: each for name, each in os.environ.items() if "COVERAGE" not in name}
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", *options],
        cwd=root,
        env={**environment, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_arrows_hold() -> None:
    """Every contract is kept by the tree as it is."""
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in result.stdout


def test_each_contract_is_tried() -> None:
    """There is a violation for every contract."""
    assert VIOLATIONS.keys() == CONTRACTS.keys()


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_a_violation_is_seen(contract: str, tmp_path: Path) -> None:
    """Each planted import breaks its contract, which names the module that has it."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignored)
    for path, planted in VIOLATIONS[contract]:
        module = tmp_path / "src" / "consignment" / path
        whole = module.read_text("utf-8")
        module.write_text(f"{whole}\n{planted}\n", "utf-8")
        result = lint(tmp_path, "--contract", contract)
        assert result.returncode == 1, result.stdout
        assert f"{CONTRACTS[contract]['name']} BROKEN" in result.stdout
        assert "consignment." + path.removesuffix(".py").replace("/", ".") in result.stdout
        module.write_text(whole, "utf-8")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_no_capability_is_forgotten(contract: str) -> None:
    """A contract that names capabilities names each module at the root that is one."""
    root = ROOT / "src" / "consignment"
    capabilities = {
        f"consignment.{path.stem}"
        for path in root.glob("*.py")
        if path.stem not in {"__init__", "_orders", "desk"}
    }
    for names in ("source_modules", "forbidden_modules"):
        listed = capabilities & set(CONTRACTS[contract].get(names, ()))
        assert listed in (set(), capabilities), names
