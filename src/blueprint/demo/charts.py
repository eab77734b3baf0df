"""Charts made of characters: bars, a funnel, a heat table. Colored on a terminal, and readable without colors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from blueprint.queries import CountEventsPerDayRow, GetFunnelRow, ListWeeklyRetentionRow

_BAR_WIDTH = 34
_DAY_BAR_WIDTH = 26
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SHADES = " ░▒▓█"
_HEAT = ("", "white on grey23", "white on dark_blue", "white on blue3", "black on dodger_blue1", "black on sky_blue1")
_HEAT_STEPS = (0.02, 0.05, 0.10, 0.20, 0.50)


def bar(share: float, width: int = _BAR_WIDTH) -> str:
    """A bar whose length is this share (0 to 1) of the width, to an eighth of a character."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def bars(rows: Iterable[tuple[str, float, str]], label: str, value: str) -> Table:
    """A bar for each row (label, number, text of the number), scaled to the largest number."""
    listed = list(rows)
    largest = max((number for _, number, _ in listed), default=0) or 1
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(label)
    table.add_column("", width=_BAR_WIDTH, no_wrap=True)
    table.add_column(value, justify="right")
    for name, number, text in listed:
        table.add_row(name, Text(bar(number / largest), "cyan"), text)
    return table


def day_chart(rows: Sequence[CountEventsPerDayRow]) -> Table:
    """The rows of count_events_per_day: a line with a bar for each day, and a column for each type of event."""
    days: defaultdict[date, dict[str, int]] = defaultdict(dict)
    for row in rows:
        days[row.day][row.event_type] = row.event_count
    types = sorted({row.event_type for row in rows})
    largest = max((sum(counts.values()) for counts in days.values()), default=0) or 1
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("day", no_wrap=True)
    table.add_column("events", width=_DAY_BAR_WIDTH, no_wrap=True)
    for name in ("all", *types):
        table.add_column(name, justify="right", no_wrap=True)
    for day, counts in days.items():
        total = sum(counts.values())
        style = "" if total else "yellow"
        drawn = Text(bar(total / largest, _DAY_BAR_WIDTH), "cyan")
        counted = [Text(f"{count:,}", style) for count in (total, *(counts[name] for name in types))]
        table.add_row(Text(f"{day:%a %d %b}", style), drawn, *counted)
    return table


def funnel(rows: Sequence[GetFunnelRow]) -> Table:
    """The rows of get_funnel: a bar for each step, and its share of the first step and of the previous step."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("step", no_wrap=True)
    table.add_column("users who reached it", width=_BAR_WIDTH, no_wrap=True)
    for name in ("users", "of first", "of previous"):
        table.add_column(name, justify="right")
    before = None
    for row in rows:
        kept = f"{row.user_count / before:.0%}" if before else ""
        drawn = Text(bar(float(row.conversion)), "green")
        table.add_row(f"{row.step}. {row.event_name}", drawn, f"{row.user_count:,}", f"{row.conversion:.0%}", kept)
        before = row.user_count
    return table


def heat_table(rows: Sequence[ListWeeklyRetentionRow], weeks: int, *, colours: bool) -> Table:
    """The rows of list_weekly_retention: a line for each cohort and a cell for each week, lighter if more came back."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0))
    table.add_column("first week", min_width=11)
    table.add_column("users", justify="right", min_width=6)
    for week in range(weeks + 1):
        table.add_column(f"+{week}", justify="right", min_width=7)
    cohorts: defaultdict[date, list[ListWeeklyRetentionRow]] = defaultdict(list)
    for row in rows:
        cohorts[row.cohort_week].append(row)
    for first_week, cells in cohorts.items():
        shares = [_heat_cell(float(cell.retention), colours=colours) for cell in cells]
        table.add_row(f"{first_week:%Y-%m-%d}", f"{cells[0].cohort_size:,}", *shares)
    return table


def _heat_cell(share: float, *, colours: bool) -> Text:
    step = sum(share >= limit for limit in _HEAT_STEPS)
    if colours:
        return Text(f" {share:4.0%} ", _HEAT[step])
    return Text(f"{_SHADES[max(step - 1, 0)]} {share:4.0%}")
