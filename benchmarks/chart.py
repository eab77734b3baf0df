"""The chart: a panel of bars for each of the most important workloads, as an SVG for light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.figures import Outcome, Spread, duration
from benchmarks.targets import DATACLASS, FLOOR

PANELS = ("lookup", "read-1000", "transaction", "bulk")
"""The workloads in the chart."""
_WIDTH, _MARGIN, _GAP = 960, 24, 40
_PANEL = (_WIDTH - 2 * _MARGIN - _GAP) / 2
_NAMES, _LABELS = 186, 100
_BARS = _PANEL - _NAMES - _LABELS
_ROW, _BAR, _TOP, _HEAD = 21, 13, 100, 30
_STYLE = """\
    text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
    .page { fill: #ffffff; stroke: #d1d9e0 }
    .title { font-size: 18px; font-weight: 600 }
    .panel { font-size: 14px; font-weight: 600 }
    .quiet { fill: #59636e }
    .ours { fill: #d9580d }
    .peer { fill: #8aa4bf }
    .floor { fill: #c4c9cf }
    .strong { font-weight: 600 }
    .spread { stroke: #1f2328; stroke-width: 1.2 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .page { fill: #0d1117; stroke: #3d444d }
      .quiet { fill: #9198a1 }
      .ours { fill: #f0883e }
      .peer { fill: #56728f }
      .floor { fill: #4d5560 }
      .spread { stroke: #f0f6fc }
    }"""
_LEGEND = (("ours", "rowsmith"), ("peer", "other libraries"), ("floor", "the floor: libpq only, without decoding"))


@dataclass(frozen=True)
class _Bar:
    name: str
    cpu: Spread
    ratio: float | None
    """Compared with rowsmith."""

    @property
    def kind(self) -> str:
        if self.name == FLOOR:
            return "floor"
        return "ours" if self.name.startswith("rowsmith") else "peer"

    @property
    def label(self) -> str:
        time = duration(self.cpu.median)
        return time if self.ratio is None else f"{time} · {self.ratio:.2f}x"


def svg(outcomes: Mapping[str, Outcome], titles: Mapping[str, str], facts: Mapping[str, str]) -> str:
    """The chart of the workloads that were measured. `titles` are the titles of the workloads, by name."""
    panels = [(titles[name], _bars(outcomes[name])) for name in PANELS if name in outcomes]
    parts: list[str] = []
    top = float(_TOP)
    for row in range(0, len(panels), 2):
        pair = panels[row : row + 2]
        for column, (title, bars) in enumerate(pair):
            parts += _panel(title, bars, _MARGIN + column * (_PANEL + _GAP), top)
        top += _HEAD + _ROW * max(len(bars) for _, bars in pair) + _MARGIN
    versions = f"{facts['processor']}; {facts['Python']}; PostgreSQL {facts['PostgreSQL']}"
    parts.append(_text(_MARGIN, top + 4, versions, "quiet"))
    height = top + 20
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img">',
            "  <title>Client CPU time per operation</title>",
            f"  <style>\n{_STYLE}\n  </style>",
            f'  <rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1:.0f}" rx="8"/>',
            *_head(),
            *parts,
            "</svg>\n",
        ]
    )


def _bars(outcome: Outcome) -> list[_Bar]:
    """The bars, fastest first."""
    based = DATACLASS in outcome.rounds
    bars = [
        _Bar(name, outcome.spread(name, "cpu"), outcome.ratio(name, DATACLASS).median if based else None)
        for name in outcome.rounds
    ]
    return sorted(bars, key=lambda bar: bar.cpu.median)


def _head() -> list[str]:
    said = "Shorter is better. Medians of interleaved rounds, with quartiles; x: relative to rowsmith, dataclass."
    parts = [
        _text(_MARGIN, 36, "Client CPU time per operation", "title"),
        _text(_MARGIN, 57, said, "quiet"),
    ]
    x = float(_MARGIN)
    for kind, meaning in _LEGEND:
        parts += [f'  <rect class="{kind}" x="{x:.0f}" y="69" width="11" height="11" rx="2"/>']
        parts += [_text(x + 17, 79, meaning)]
        x += 44 + 6 * len(meaning)
    return parts


def _panel(title: str, bars: Sequence[_Bar], x: float, y: float) -> list[str]:
    largest = max(bar.cpu.high for bar in bars)
    parts = [_text(x, y + 16, title, "panel")]
    start = x + _NAMES
    for number, bar in enumerate(bars):
        top = y + _HEAD + number * _ROW
        base, middle = top + _BAR - 2, top + _BAR / 2
        width, low, high = (_BARS * value / largest for value in bar.cpu)
        ends = f'x1="{start + low:.1f}" x2="{start + high:.1f}"'
        strong = " strong" if bar.kind == "ours" else ""
        parts += [
            _text(x, base, bar.name.partition(":")[0], strong.strip()),
            f'  <rect class="{bar.kind}" x="{start:.0f}" y="{top:.0f}" width="{width:.1f}" height="{_BAR}" rx="2"/>',
            f'  <line class="spread" {ends} y1="{middle:.1f}" y2="{middle:.1f}"/>',
            _text(start + max(width, high) + 6, base, bar.label, f"quiet{strong}"),
        ]
    return parts


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    styled = f' class="{kind}"' if kind else ""
    return f'  <text{styled} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
