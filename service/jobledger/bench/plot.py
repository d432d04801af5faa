"""Draws what was measured: one SVG that needs nothing else, readable by eye and by screen reader, light and dark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH: Final = 720
_LEFT: Final = 190
_RIGHT: Final = 90
_ROW: Final = 26
_HEAD: Final = 40
_CHART: Final = 180
_SERIES: Final = 5

_STYLE: Final = """
  svg { color-scheme: light dark; --paper: #ffffff; --ink: #1c2733; --soft: #5b6b7b; --rule: #d5dce3;
    --a: #1f6fb2; --b: #b3541e; --c: #2f7d4f; --d: #7a4fa3; --e: #8a6d00; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #12181f; --ink: #e6edf3; --soft: #9fb0c0; --rule: #33414f;
      --a: #6cb3f0; --b: #f0996a; --c: #74cc98; --d: #c3a0e8; --e: #e0c04a; }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--ink); }
  .title { font-size: 15px; font-weight: 600; }
  .soft { fill: var(--soft); font-size: 12px; }
  .paper { fill: var(--paper); } .rule { stroke: var(--rule); fill: none; }
  .s0 { --mine: var(--a); } .s1 { --mine: var(--b); } .s2 { --mine: var(--c); } .s3 { --mine: var(--d); }
  .s4 { --mine: var(--e); } .bar { fill: var(--mine); } .line { stroke: var(--mine); stroke-width: 2; fill: none; }
  .name { fill: var(--mine); }
"""


@dataclass(frozen=True, slots=True)
class Bars:
    """Values side by side, each with its name; `at_least` draws a mark that each is measured against."""

    title: str
    unit: str
    values: Mapping[str, float]
    at_least: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lines:
    """Series over a common axis, each with its name."""

    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[tuple[float, float]]]


Panel = Bars | Lines


def svg(title: str, panels: Sequence[Panel]) -> str:
    """Return the picture. Its description says every bar, and where each line begins, ends, and lies between."""
    parts: list[str] = []
    top = 12.0
    for panel in panels:
        drawn, height = _bars(panel) if isinstance(panel, Bars) else _lines(panel)
        parts.append(f'<g transform="translate(0 {top:.0f})">\n{drawn}\n</g>')
        top += height + 16
    said = " ".join(_said(panel) for panel in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top:.0f}" width="{_WIDTH}" '
        f'height="{top:.0f}" role="img" aria-labelledby="title description">\n'
        f'<title id="title">{escape(title)}</title>\n<desc id="description">{escape(said)}</desc>\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect class="paper" width="{_WIDTH}" height="{top:.0f}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def number(value: float) -> str:
    """Return a value short enough to stand in a picture."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.3f}".rstrip("0").rstrip(".") or "0"


def _bars(panel: Bars) -> tuple[str, float]:
    most = max([*panel.values.values(), *panel.at_least.values(), 0.0]) or 1.0
    room = _WIDTH - _LEFT - _RIGHT
    parts = [_text(12, 18, f"{panel.title} ({panel.unit})", "title")]
    for row, (name, value) in enumerate(panel.values.items()):
        y = _HEAD + row * _ROW
        length = max(value, 0.0) / most * room
        parts.append(_text(_LEFT - 8, y + 13, name, anchor="end"))
        parts.append(f'<rect class="bar s0" x="{_LEFT}" y="{y}" width="{length:.1f}" height="18" rx="2"/>')
        parts.append(_text(_LEFT + length + 6, y + 13, number(value)))
        if name in panel.at_least:
            x = _LEFT + panel.at_least[name] / most * room
            parts.append(f'<path class="line s1" d="M{x:.1f} {y - 3} v24"/>')
    return "\n".join(parts), _HEAD + len(panel.values) * _ROW


def _lines(panel: Lines) -> tuple[str, float]:
    points = [point for series in panel.series.values() for point in series]
    most_x = max([x for x, _ in points] + [0.0]) or 1.0
    most_y = max([y for _, y in points] + [0.0]) or 1.0
    left, room = 80, _WIDTH - 80 - 24
    parts = [_text(12, 18, panel.title, "title")]
    for part in (0.0, 0.5, 1.0):
        y = _HEAD + _CHART * (1 - part)
        parts.append(f'<path class="rule" d="M{left} {y:.1f} h{room}"/>')
        parts.append(_text(left - 8, y + 4, number(most_y * part), "soft", anchor="end"))
        parts.append(_text(left + room * part, _HEAD + _CHART + 18, number(most_x * part), "soft", anchor="middle"))
    parts.append(_text(left + room, _HEAD - 8, panel.y, "soft", anchor="end"))
    parts.append(_text(left + room, _HEAD + _CHART + 34, panel.x, "soft", anchor="end"))
    for place, (name, series) in enumerate(panel.series.items()):
        drawn = " ".join(f"{left + x / most_x * room:.1f},{_HEAD + _CHART * (1 - y / most_y):.1f}" for x, y in series)
        kind = f"s{place % _SERIES}"
        parts.append(f'<polyline class="line {kind}" points="{drawn}"/>')
        parts.append(_text(left + 120 * place, _HEAD + _CHART + 34, name, f"name {kind}"))
    return "\n".join(parts), _HEAD + _CHART + 40


def _said(panel: Panel) -> str:
    if isinstance(panel, Bars):
        told = "; ".join(f"{name} {number(value)}" for name, value in panel.values.items())
        return f"{panel.title}, in {panel.unit}: {told}."
    told = "; ".join(
        f"{name} from {number(ys[0])} to {number(ys[-1])}, between {number(min(ys))} and {number(max(ys))}"
        for name, series in panel.series.items()
        if (ys := [y for _, y in series])
    )
    return f"{panel.title}, {panel.y} over {panel.x}: {told or 'no values'}."


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'
