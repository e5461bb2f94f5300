"""The command line as a process: exit codes, pipes, terminals, signals, and without `rich`."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from consignment.adapters.cli import main
from tests.cli.bank import ADMITTED, AKSU, ORDER, PARTNER

if TYPE_CHECKING:
    from tests.cli.bank import Bank

WITHOUT_RICH = (
    "import sys; sys.modules['rich'] = None; "
    "from consignment.adapters.cli import main; sys.exit(main())"
)


def many_rows(bank: Bank, count: int) -> str:
    """Write a file of many products."""
    rows = "".join(f"N-{i},商品 {i},BX,CNY,1.00\n" for i in range(count))
    return str(bank.write("many.csv", "number,name,unit,currency,agreed_price\n" + rows))


def test_exit_codes(bank: Bank) -> None:
    """The process ends with 0, 1 or 2, and its output is the document and nothing else."""
    bank.placed()
    done = bank.process("order", "show", ORDER, "--json")
    assert done[0] == 0
    assert json.loads(done[1])["orders"][0]["order_id"] == ORDER
    assert bank.process("order", "show", "NOPE", "--json")[::2] == (1, "")
    assert bank.process("order", "shw", "--json")[::2] == (2, "")
    code, out, err = bank.process("order", "show", "NOPE")
    assert (code, out) == (1, "")
    assert err == "refused: order_unknown (order_id NOPE)\n"


def test_text_is_utf_8_in_any_locale(bank: Bank) -> None:
    """With `--json` the output is UTF-8 also where the locale is not; text is then escaped."""
    bank.admitted()
    foreign = {**bank.environment, "PYTHONIOENCODING": "ascii", "LC_ALL": "POSIX"}
    code, out, _ = bank.process("partner", "list", "--json", env=foreign)
    assert code == 0
    assert json.loads(out)[0]["name"] == "阿克苏绿源农产品有限公司"
    code, out, _ = bank.process("partner", "list", env=foreign)
    assert code == 0
    assert "\\u963f" in out


def test_an_argument_that_is_no_text(bank: Bank) -> None:
    """An argument that is not UTF-8 is refused like any other wrong one."""
    bank.placed()
    words = ("-m", "consignment.adapters.cli", "order", "show", "\udcff\udcfe")
    for option in ((), ("--json",)):
        done = subprocess.run(
            [sys.executable, *words, *option],
            env=bank.environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr


def test_no_progress_bar_in_a_pipe(bank: Bank) -> None:
    """An import in a pipe shows no progress bar and no colour."""
    bank.admitted()
    path = many_rows(bank, 5000)
    code, out, err = bank.process("import", PARTNER, path, "--at", ADMITTED)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "5000" in out


def on_terminal(
    bank: Bank,
    *arguments: str,
    program: tuple[str, str] = ("-m", "consignment.adapters.cli"),
    **environment: str,
) -> str:
    """Run a command on a terminal of its own and give what is shown there."""
    ours, theirs = pty.openpty()
    settings = {**bank.environment, "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    with bank.start(
        *arguments, program=program, stdout=theirs, stderr=theirs, env=settings
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:
                break
            if not read:
                break
            shown += read
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def test_a_progress_bar_and_colour_on_a_terminal(bank: Bank) -> None:
    """On a terminal an import shows how far it is, and the answer has colour, unless NO_COLOR."""
    bank.admitted()
    path = many_rows(bank, 12_000)
    shown = on_terminal(bank, "import", PARTNER, path, "--at", ADMITTED)
    assert " rows" in shown
    assert "\x1b[" in shown
    shown = on_terminal(bank, "partner", "list", NO_COLOR="1")
    assert "admitted" in shown
    assert "\x1b[32m" not in shown
    shown = on_terminal(bank, "partner", "list")
    assert "\x1b[32m" in shown


def test_a_reader_that_has_seen_enough(bank: Bank) -> None:
    """A pipe that is closed early ends the process without a word."""
    bank.admitted()
    bank.run("import", PARTNER, many_rows(bank, 5000), "--at", ADMITTED)
    for option in ((), ("--json",)):
        with bank.start("progress", "--name", "商品", "--limit", "1000", *option) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.stderr is not None
            err = process.stderr.read()
        assert (process.returncode, err) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110 - a device
def test_an_output_without_room(bank: Bank) -> None:
    """When the output cannot be written the process says so, and does not end with 0."""
    bank.run("init")
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        code, err = bank.process_to(full, "journal", "--json")
    assert code == 74
    assert err == "the output cannot be written: No space left on device\n"


def test_ctrl_c(bank: Bank) -> None:
    """Ctrl-C ends a command with 130 and no traceback."""
    bank.admitted()
    path = many_rows(bank, 100_000)
    with bank.start("import", PARTNER, path, "--at", ADMITTED) as process:
        # It is at work when a first part has landed, and has most of the rows before it then.
        until = time.monotonic() + 60
        with closing(sqlite3.connect(bank.database.removeprefix("sqlite:///"))) as eye:
            landed = "SELECT 1 FROM products WHERE number = 'N-0'"
            while not eye.execute(landed).fetchall():
                assert time.monotonic() < until
                time.sleep(0.02)
        # As a person does: again when nothing happens. Once, on a busy machine, the first was lost;
        # Python passes over what is raised in a finalizer.
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
                break
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_without_rich(bank: Bank) -> None:
    """Without `rich` people get plain text, and `--json` is the same."""
    bank.completed()
    command = [sys.executable, "-c", WITHOUT_RICH]
    for arguments in (
        ["order", "show", ORDER],
        ["progress", "--number", "AKS-APPLE-5KG", "--number", "AKS-WALNUT-1KG"],
        ["progress", "--name", "苹果"],
        ["settle", ORDER, "--preview"],
        ["import", PARTNER, str(AKSU / "products.csv"), "--at", ADMITTED],
        ["demo"],
    ):
        plain = subprocess.run(
            [*command, *arguments], env=bank.environment, capture_output=True, check=False
        )
        assert (plain.returncode, plain.stderr) == (0, b"")
        assert "AKS-APPLE-5KG" in plain.stdout.decode()
        assert b"\x1b" not in plain.stdout
    arguments = ["import", PARTNER, str(AKSU / "products.csv"), "--at", ADMITTED]
    shown = on_terminal(bank, *arguments, program=("-c", WITHOUT_RICH))
    assert "unchanged" in shown
    assert "\x1b" not in shown
    code, out, _ = bank.process("order", "show", ORDER, "--json")
    plain = subprocess.run(
        [*command, "order", "show", ORDER, "--json"],
        env=bank.environment,
        capture_output=True,
        check=False,
    )
    assert (plain.returncode, plain.stdout.decode()) == (code, out)


def test_a_fault_of_the_program_is_shown(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What should not happen ends with 70 and a traceback."""
    bank.run("init")
    monkeypatch.setattr("consignment.adapters.cli.shapes.quota_shape", None)
    monkeypatch.setattr("consignment.desk.Consignment.open", lambda *_, **__: 1 // 0)
    assert main(["quota", "show"]) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err
