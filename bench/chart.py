"""A bar chart as SVG that looks right on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.figures import Chart

_WIDTH, _LABEL, _ROW, _BAR = 900, 380, 26, 14
_LONGEST = _WIDTH - _LABEL - 70
_OURS = "picoclaw-fleet"

_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.bar { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .bar { fill: #6e7681 }
  .ours { fill: #4493f8 }
}
"""


def drawn(charts: Sequence[Chart]) -> str:
    """The charts, one below the other."""
    parts: list[str] = []
    top = 0
    for chart in charts:
        parts += _one(chart, top)
        top += _height(chart)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}">'
    return "\n".join([head, f"<style>\n{_STYLE}</style>", *parts, "</svg>", ""])


def _one(chart: Chart, top: int) -> list[str]:
    longest = max(length for _, length in chart.bars)
    first = top + 40
    parts = [f'<text class="title" x="10" y="{top + 24}">{escape(chart.title)}</text>']
    for number, (name, length) in enumerate(chart.bars):
        y, width = first + number * _ROW, max(1.0, length / longest * _LONGEST)
        look = "bar ours" if name.startswith(_OURS) else "bar"
        parts += [
            f'<text x="{_LABEL - 10}" y="{y + _BAR - 2}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{look}" x="{_LABEL}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3"/>',
            f'<text x="{_LABEL + width + 8:.1f}" y="{y + _BAR - 2}">{length:.2g}</text>',
        ]
    return parts


def _height(chart: Chart) -> int:
    return 56 + len(chart.bars) * _ROW
