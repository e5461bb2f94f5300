"""How answers are written: documents piece by piece, text that does nothing to a terminal."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from consignment.adapters.cli.console import (
    Column,
    Console,
    Styled,
    console_on,
    figure,
    printable,
)
from consignment.adapters.cli.documents import DocumentWriter
from consignment.adapters.cli.refusing import failed, reason_line
from consignment.domain.errors import CreditFailed, Refused, StorageFull, reason

if TYPE_CHECKING:
    from collections.abc import Iterator


def written(document: object) -> str:
    """Write a document."""
    stream = io.StringIO()
    DocumentWriter(stream).write(document)
    return stream.getvalue()


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"a": 1, "b": None, "c": [], "d": {"e": ["ü", "果"]}, "f": [1, [2]]},
        [{"a": "1"}, {}],
        "text",
        None,
    ],
)
def test_documents_are_json(document: object) -> None:
    """What is written is the document in JSON, with text as it is."""
    assert json.loads(written(document)) == document
    assert "\\u" not in written(document)


def test_iterators_are_written_item_by_item() -> None:
    """An iterator of many items is written as it comes, and not gathered before."""

    class Sink(io.StringIO):
        def write(self, text: str) -> int:
            sizes.append(len(text))
            return super().write(text)

    sizes: list[int] = []
    sink = Sink()
    DocumentWriter(sink).write({"items": (str(i) for i in range(100_000)), "end": True})
    document = json.loads(sink.getvalue())
    assert (len(document["items"]), document["end"]) == (100_000, True)
    assert max(sizes) < 100_000


def test_a_failure_before_anything_was_written() -> None:
    """What an iterator raises early leaves nothing written, so an answer can still follow."""

    def failing(count: int) -> Iterator[str]:
        yield from map(str, range(count))
        raise StorageFull

    for count, begun in ((10, False), (100_000, True)):
        stream = io.StringIO()
        writer = DocumentWriter(stream)
        with pytest.raises(StorageFull):
            writer.write(failing(count))
        assert (writer.begun, bool(stream.getvalue())) == (begun, begun)


def plain(stream: io.StringIO) -> Console:
    """Make the console that there is without `rich`."""
    from consignment.adapters.cli import console  # noqa: PLC0415 - what is used without rich

    return console._PlainConsole(stream, 40)


@pytest.mark.parametrize("make", [plain, lambda stream: console_on(stream, width=40)])
def test_consoles(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401 - makes a console
    """Headings, sentences and tables, with and without `rich`, in the width asked for."""
    monkeypatch.delenv("COLUMNS", raising=False)
    stream = io.StringIO()
    console = make(stream)
    console.heading("First")
    console.say("a sentence that is longer than forty columns are wide")
    console.say("    indented, and longer than forty columns are wide")
    console.table(
        ["name", figure("count"), Column("note")],
        [("苹果", 12, None), (("two", "lines"), Styled(3, "bad"), "x")],
    )
    console.heading("Second")
    console.table(["", ""], [("a", "b")])
    lines = stream.getvalue().splitlines()
    assert lines[0] == "First"
    assert all(len(line) <= 40 for line in lines)
    assert "    indented, and longer than forty" in lines
    assert any(line.startswith("    columns are wide") for line in lines)
    (apple,) = [line for line in lines if "苹果" in line]
    assert apple.split() == ["苹果", "12", "–"]
    assert lines[lines.index("Second") - 1] == ""
    assert lines[lines.index("Second") - 2] != ""
    assert any(line.split() == ["lines"] for line in lines)


def test_text_does_nothing_to_a_terminal() -> None:
    """Controls and bidirectional marks are shown as escapes; markup is only text."""
    assert printable("a\x1b[31mb\u202ec\nd") == "a\\x1b[31mb\\u202ec\\nd"
    assert printable("全　角") == "全　角"
    stream = io.StringIO()
    console_on(stream).say("[bold]name[/bold] :smile:")
    assert stream.getvalue() == "[bold]name[/bold] :smile:\n"


def test_a_reason_in_one_line() -> None:
    """A reason is told with place, code and figures; nested reasons too."""
    fault = reason(
        "row_rejected",
        file="a.csv",
        line=3,
        reasons=[{"code": "x", "value": " "}],
        extra={"a": None},
    )
    assert reason_line(fault.as_dict()) == (
        "a.csv:3: row_rejected (reasons [x (value ' ')], extra {a none})"
    )


def test_very_many_reasons() -> None:
    """People are told the first of very many reasons, and how many more there are."""
    answer = failed(Refused(reason("no", row=i) for i in range(100)), database="")
    stream = io.StringIO()
    answer.show(console_on(stream))
    assert stream.getvalue().count("refused: no") == 50
    assert "… and 50 more" in stream.getvalue()
    assert len(list(answer.document["refused"])) == 100


def test_what_is_no_answer_is_raised() -> None:
    """An error that no command answers with is a fault of the program."""
    with pytest.raises(CreditFailed):
        failed(CreditFailed("by whom?"), database="")


def test_a_failure_of_the_operating_system() -> None:
    """Such failures have a code, with the file where it is known."""
    for error, expected in (
        (OSError(28, "No space left on device"), {"code": "disk_full"}),
        (PermissionError(13, "Permission denied", "x"), {"code": "file_unreadable", "file": "x"}),
        (OSError(5, "I/O error", b"y"), {"code": "file_unreadable", "file": "b'y'"}),
    ):
        answer = failed(error, database="")
        (told,) = answer.document["refused"]
        assert told.items() >= expected.items()
        assert answer.exit_code == 2
