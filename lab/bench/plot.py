"""Charts of what the benchmarks measured, as SVG for the documents."""

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import pygal
from pygal.style import CleanStyle

from lab.bench.growth import recorder

_WIDTH = 900


def rates_chart(measured: Mapping[str, Any]) -> str:
    """Rate by path: a bar per path of a run's `--json`."""
    rates = _medians(measured)
    chart = pygal.HorizontalBar(**_options("Events per second by path", 60 + 44 * len(rates)), show_legend=False, print_values=True)
    chart.x_labels = list(reversed(rates))
    chart.add("events/s", list(reversed(rates.values())))
    return _svg(chart)


def growth_chart(measured: Mapping[str, Any]) -> str:
    """Rate by table size: a line for time-ordered event ids and one for random ones."""
    rates = _medians(measured)
    sizes = [int(re.sub(r"\D", "", name)) for name in rates if name == recorder(int(re.sub(r"\D", "", name)))]
    chart = pygal.XY(**_options("Events per second by transactions in the books", 420), legend_at_bottom=True, range=(0, max(rates.values()) * 1.1))
    for title, random in (("time-ordered event ids", False), ("random event ids (UUID version 4)", True)):
        chart.add(title, [(size, rates[recorder(size, random=random)]) for size in sizes])
    return _svg(chart)


def _medians(measured: Mapping[str, Any]) -> dict[str, float]:
    per_second: Mapping[str, Sequence[float]] = measured["events_per_second"]
    return {name: statistics.median(values) for name, values in per_second.items()}


def _options(title: str, height: int) -> dict[str, Any]:
    return {
        "title": title,
        "style": CleanStyle(font_family="sans-serif"),
        "width": _WIDTH,
        "height": height,
        "explicit_size": True,
        "js": [],
        "formatter": lambda value: f"{value[1] if isinstance(value, list | tuple) else value:,.0f}",
        "value_formatter": lambda value: f"{value:,.0f}",
        "x_value_formatter": lambda value: f"{value / 1e6:g} M",
    }


def _svg(chart: Any) -> str:
    chart.uuid = "chart"  # the same figures give the same file
    svg: str = chart.render(is_unicode=True)
    return re.sub(r"<!--Generated with pygal .*?-->", "<!--Generated with pygal-->", svg, count=1) + "\n"  # without version, backend and today
