"""What people see: sentences and tables, with colour on a terminal; plain text without `rich`."""

from __future__ import annotations

import os
import sys
import textwrap
import unicodedata
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TextIO

    from rich.console import RenderableType

__all__ = [
    "Column",
    "Console",
    "Row",
    "Styled",
    "console_on",
    "figure",
    "printable",
    "progress_bar",
]

Style = Literal["", "good", "bad", "warn", "faint", "strong"]

_COLOURS: dict[Style, str] = {
    "": "",
    "good": "green",
    "bad": "red",
    "warn": "yellow",
    "faint": "dim",
    "strong": "bold",
}
_WIDTH = 80


@frozen
class Styled:
    """A table's cell with a style of its own; a tuple is shown line by line."""

    text: object
    style: Style


@frozen
class Column:
    """A table's column; `figures` stand on the right and are never broken."""

    title: str
    figures: bool = False


Row = tuple[object, ...]


def figure(title: str) -> Column:
    """Make a column of figures."""
    return Column(title, figures=True)


class Console(Protocol):
    """Where things are said to people."""

    def heading(self, text: str) -> None:
        """Begin a part."""
        ...

    def say(self, text: str, style: Style = "") -> None:
        """Say a sentence or some; what begins with spaces stays indented as it is broken."""
        ...

    def table(self, columns: Sequence[str | Column], rows: Iterable[Row]) -> None:
        """Show a table; None is shown as a dash, a tuple line by line."""
        ...


def console_on(stream: TextIO, *, width: int | None = None) -> Console:
    """Make a console of a stream: by `rich` when it is there, else plain.

    `width` is how wide it is when it is no terminal and `COLUMNS` is not set; without it lines
    in a pipe are broken late, so that they can be searched.
    """
    try:
        return _RichConsole(stream, width or 2 * _WIDTH)
    except ImportError:
        return _PlainConsole(stream, width or _WIDTH)


def printable(value: object) -> str:
    """Give text that does nothing to a terminal but show itself."""
    text = "–" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\u3000" else char.encode("unicode_escape").decode()
        for char in text
    )


def _columns(columns: Sequence[str | Column]) -> list[Column]:
    return [each if isinstance(each, Column) else Column(each) for each in columns]


def _cell(value: object) -> tuple[str, Style]:
    text, style = (value.text, value.style) if isinstance(value, Styled) else (value, "")
    lines = text if isinstance(text, tuple) else (text,)
    return "\n".join(map(printable, lines)), style


def _indent_of(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


class _RichConsole:
    def __init__(self, stream: TextIO, pipe_width: int) -> None:
        from rich.console import Console as Rich

        self._stream = stream
        self._after_blank = True
        self._to_people = stream.isatty()
        known = self._to_people or os.environ.get("COLUMNS")
        self._rich = Rich(
            file=stream,
            width=None if known else pipe_width,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def _print(self, shown: RenderableType = "") -> None:
        with self._rich.capture() as captured:
            self._rich.print(shown)
        text = captured.get()
        if not self._to_people:
            # What fills the lines up is for nobody in a file or pipe.
            text = "\n".join(line.rstrip() for line in text.split("\n"))
        self._after_blank = text.endswith("\n\n") or text == "\n"
        self._stream.write(text)

    def heading(self, text: str) -> None:
        from rich.text import Text

        if not self._after_blank:
            self._print()
        self._print(Text(printable(text), style="bold cyan"))

    def say(self, text: str, style: Style = "") -> None:
        from rich.padding import Padding
        from rich.text import Text

        clean = printable(text)
        indent = _indent_of(clean)
        said = Text(clean.lstrip(" "), style=_COLOURS[style])
        self._print(Padding(said, (0, 0, 0, indent), expand=False) if indent else said)

    def table(self, columns: Sequence[str | Column], rows: Iterable[Row]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        heads = _columns(columns)
        table = Table(
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            show_header=any(each.title for each in heads),
            header_style="bold",
        )
        for each in heads:
            table.add_column(
                Text(printable(each.title)),
                justify="right" if each.figures else "left",
                no_wrap=each.figures,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(Text(text, style=_COLOURS[style]) for text, style in map(_cell, row)))
        self._print(Padding(table, (0, 0, 1, 2), expand=False))


class _PlainConsole:
    def __init__(self, stream: TextIO, width: int) -> None:
        self._stream = stream
        self._after_blank = True
        self._width = width

    def _print(self, text: str = "") -> None:
        self._after_blank = not text
        self._stream.write(text.rstrip() + "\n")

    def heading(self, text: str) -> None:
        if not self._after_blank:
            self._print()
        self._print(printable(text))

    def say(self, text: str, style: Style = "") -> None:  # noqa: ARG002 - plain text has no style
        line = printable(text)
        indent = " " * _indent_of(line)
        broken = textwrap.wrap(
            line.strip(), self._width, initial_indent=indent, subsequent_indent=indent
        )
        for each in broken or [""]:
            self._print(each)

    def table(self, columns: Sequence[str | Column], rows: Iterable[Row]) -> None:
        heads = _columns(columns)
        lines = [
            list(line)
            for row in rows
            for line in zip_longest(*(_cell(value)[0].split("\n") for value in row), fillvalue="")
        ]
        titles = [printable(each.title) for each in heads]
        widths = [max(map(_cells_wide, cells)) for cells in zip(titles, *lines, strict=True)]
        shown = [titles, ["-" * width for width in widths]] if any(titles) else []
        for line in (*shown, *lines):
            self._print("  " + "  ".join(map(_padded, line, widths, heads)))
        self._print()


def _cells_wide(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _padded(text: str, width: int, column: Column) -> str:
    blank = " " * (width - _cells_wide(text))
    return blank + text if column.figures else text + blank


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int], None] | None]:
    """Show how far long work has come, on a terminal; give what is to be told the number done."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        from rich.console import Console as Rich
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        yield None
        return
    bar = Progress(
        BarColumn(bar_width=24),
        TextColumn("{task.completed:>12,.0f} {task.description}", markup=False),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        console=Rich(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=None, rate="")

        def done(count: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=count, rate=f"{speed:,.0f}/s" if speed else "")

        yield done
