"""Draws what things cost against how much was sold, from the figures that were kept, as SVG.

`python -m benchmarks.chart` draws it anew from `docs/explanation/cost-against-size.json`.
"""

from __future__ import annotations

import json
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["draw"]

_FIGURES = Path(__file__).parents[1] / "docs" / "explanation" / "cost-against-size.json"
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
#: Told apart without their colours too: by the marks.
_LINES = {
    "progress": ("progress by number", "#0072b2", "circle"),
    "settlement": ("settlement, per order of a batch", "#009e73", "diamond"),
    "report": ("one sales report", "#d55e00", "square"),
    "order": ("one order", "#cc79a7", "triangle"),
}
_WIDTH, _TOP, _HEIGHT, _FOOT, _PAD = 300, 58, 260, 92, 14
_LEFT = 80
_INK, _GRID, _PAPER = "#222222", "#dddddd", "#ffffff"


def draw(figures: Path = _FIGURES) -> Path:
    """Draw the chart beside its figures; gives its path."""
    kept: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    engines = [name for name in _NAMES if "costs_us" in kept.get(name, {})]
    costs = [
        cost for name in engines for at in kept[name]["costs_us"].values() for cost in at.values()
    ]
    sizes = [int(size) for name in engines for size in kept[name]["costs_us"]]
    low, high = floor(log10(min(costs))), ceil(log10(max(costs)))
    first, last = floor(log10(min(sizes))), ceil(log10(max(sizes)))
    width = _LEFT + len(engines) * (_WIDTH + _PAD) + _PAD
    height = _TOP + _HEIGHT + _FOOT
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="12" '
            f'fill="{_INK}" role="img" '
            'aria-label="Cost in microseconds against sale lines, for each engine">'
        ),
        f'<rect width="{width}" height="{height}" fill="{_PAPER}"/>',
        _text(
            _LEFT, 20, "Microseconds of one call, against how many lines were sold before", size=15
        ),
    ]
    for place, engine in enumerate(engines):
        left = _LEFT + place * (_WIDTH + _PAD)

        def x(size: float, left: int = left) -> float:
            return left + 12 + (log10(size) - first) / (last - first) * (_WIDTH - 24)

        def y(cost: float) -> float:
            return _TOP + _HEIGHT - (log10(cost) - low) / (high - low) * _HEIGHT

        parts.append(_text(left, _TOP - 10, kept[engine]["version"], weight="bold"))
        for power in range(low, high + 1):
            level = y(10**power)
            parts.append(_rule(left, level, left + _WIDTH, level))
            if place == 0:
                label = f"{10**power:,} µs"
                parts.append(_text(left - 8, level + 4, label, anchor="end"))
        for power in range(first, last + 1):
            at = x(10**power)
            parts.append(_rule(at, _TOP, at, _TOP + _HEIGHT))
            label = f"10{_raised(power)}"
            parts.append(_text(at, _TOP + _HEIGHT + 18, label, anchor="middle"))
        parts.append(_text(left + _WIDTH / 2, _TOP + _HEIGHT + 38, "sale lines", anchor="middle"))
        measured = kept[engine]["costs_us"]
        for name, (_, colour, mark) in _LINES.items():
            points = [(x(int(size)), y(measured[size][name])) for size in sorted(measured, key=int)]
            parts.append(_line(points, colour))
            parts += [_mark(mark, *point, colour) for point in points]
    parts += _legend(height - 20)
    parts.append("</svg>")
    drawn = figures.with_suffix(".svg")
    drawn.write_text("\n".join(parts) + "\n", encoding="utf-8")
    return drawn


def _legend(level: float) -> list[str]:
    parts: list[str] = []
    at: float = _LEFT + 12
    for name, colour, mark in _LINES.values():
        parts.append(_line([(at - 12, level - 4), (at + 12, level - 4)], colour))
        parts.append(_mark(mark, at, level - 4, colour))
        parts.append(_text(at + 20, level, name))
        at += 60 + 6.6 * len(name)
    return parts


def _raised(power: int) -> str:
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(power))


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}">{text}</text>'
    )


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_GRID}"/>'


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{listed}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _mark(kind: str, x: float, y: float, colour: str) -> str:
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
    corners = {
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "triangle": ((0, -5), (5, 4), (-5, 4)),
    }[kind]
    listed = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{listed}" fill="{colour}"/>'


if __name__ == "__main__":
    print(draw())
