"""The figures of the second and third question: what choosing among candidates wins, and at what price."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import LogLocator, NullFormatter

from gavel.toolkit.study.plots import GREY, Estimate, Plot, bars, begin, forest, legend, mark, panels, row_height, wrap
from gavel.toolkit.study.records import Record, between, counted, distinct, drawn, largest, scope, where
from gavel.toolkit.study.ways import COMPILES_FIRST

Series = dict[str, list[Estimate | None]]  # by name, an estimate for each row
SERIES = {"best by this": "", "the same, what compiles first": COMPILES_FIRST}  # and what a way's name ends with

MEASURES = {
    "parameters": ("parameters, billions", 1e-9),
    "memory_bytes": ("memory, GB", 1e-9),
    "seconds": ("seconds a task", 1.0),
    "joules": ("joules a task", 1.0),
    "usd": ("US dollars for 1,000 tasks", 1e3),
}


def by_number(test_set: str, generator: str, records: Sequence[Record], families: Sequence[str], name: str) -> Plot:
    """pass@1 by the number of candidates: a panel for each way of these families, between random and oracle."""
    labels = _ways([record for record in records if record["family"] in families])
    kind, title = f"pass-at-1-{name}", f"pass@1 by number of candidates, {name}"
    caption = "Bars: 95 % intervals. With one candidate there is nothing to choose: the generator alone."
    height = 2.1 + 1.6 * -(-len(labels) // 2)
    plot = begin(kind, title, scope(test_set, generator), _n(records), caption, height)
    grid = panels(plot.figure, len(labels), 2, x="candidates", y="pass@1")
    alone = where(records, family="generator")
    for axes, label in zip(grid, labels, strict=True):
        for end, line in (("oracle", "--"), ("random", ":")):
            points = alone + where(records, family=end)
            values = [point["pass_at_1"]["value"] for point in points]
            axes.plot([point["n"] for point in points], values, color=GREY, linestyle=line, label=end)
        for greedy in where(records, family="greedy"):
            value = greedy["pass_at_1"]["value"]
            axes.axhline(value, color=GREY, linestyle="-.", linewidth=1, label="greedy, one answer")
        for number, (words, suffix) in enumerate(SERIES.items()):
            points = where(records, way=label + suffix)
            values, lengths = bars([point["pass_at_1"] for point in points])
            places = [point["n"] + 0.15 * number for point in points]  # beside each other, so that both bars are seen
            if points:
                axes.errorbar(places, values, yerr=lengths, capsize=2, label=words, **mark(number))
        axes.set_title(wrap(label, 36), fontsize=8.5)
    grid[0].set(xticks=sorted({1} | {record["n"] for record in records}))
    grid[0].set_ylim(bottom=0)  # of all: they share it
    legend(plot.figure, 2)
    return plot


def ways(test_set: str, generator: str, records: Sequence[Record]) -> Plot:
    """pass@1 of every way at the largest number of candidates, between random and oracle."""
    several = largest(records)
    ends = [one["pass_at_1"]["value"] for one in several if one["family"] in ("random", "oracle")]
    shown = [*(record for record in records if record["family"] in ("generator", "greedy")), *several]
    labels, series = _rows(shown, "pass_at_1")
    title, caption = f"pass@1, best of {several[0]['n']}", "Dotted: random, and oracle. Bars: 95 % intervals."
    height = 1.7 + len(labels) * row_height(labels, len(series))
    plot = begin("ways", title, scope(test_set, generator), _n(shown), caption, height)
    _forest(plot, labels, series, ends, "pass@1")
    return plot


def won(test_set: str, generator: str, records: Sequence[Record]) -> Plot:
    """How much of the way from random to oracle is won, at the largest number of candidates."""
    several = [record for record in largest(records) if record["family"] not in ("random", "oracle")]
    labels, series = _rows(several, "won")
    title = f"Share won, best of {several[0]['n']}"
    caption = "Dotted: random is 0 and oracle 1. Below 0 it would be better to draw lots. Bars: 95 % intervals."
    height = 1.7 + len(labels) * row_height(labels, len(series))
    plot = begin("won", title, scope(test_set, generator), _n(several), caption, height)
    _forest(plot, labels, series, [0, 1], "share of the distance from random to oracle")
    return plot


def _rows(records: Sequence[Record], field: str) -> tuple[list[str], Series]:
    """A label for each way, and its estimate as it is and with compiles-first, as far as there are any."""
    labels = _ways(records)
    found = {record["way"]: record[field] for record in records}
    series = {name: [found.get(label + suffix) for label in labels] for name, suffix in SERIES.items()}
    return labels, {name: estimates for name, estimates in series.items() if any(estimates)}


def _forest(plot: Plot, labels: list[str], series: Series, references: list[float], words: str) -> None:
    axes = plot.figure.subplots()
    forest(axes, labels, series, references)
    axes.set_xlabel(words)
    if len(series) > 1:
        legend(plot.figure, 2)


def cascade(test_set: str, generator: str, records: Sequence[Record]) -> Plot:
    """pass@1 against forward passes spent: a panel for each pair of probe and judge."""
    pairs = distinct(records, "probe", "judge")
    title = f"Cascade, best of {between(record['n'] for record in records)}"
    caption = (
        "The probe costs no forward pass; the judge is asked where the probe is unsure, from never (left) to always "
        "(right). Bands: 95 % intervals."
    )
    height = 1.6 + 2.0 * -(-len(pairs) // 2)
    plot = begin("cascade", title, scope(test_set, generator), counted(records, "tasks"), caption, height)
    grid = panels(plot.figure, len(pairs), 2, x="judge’s forward passes a task", y="pass@1")
    for axes, (probe, judge) in zip(grid, pairs, strict=True):
        for number, record in enumerate(where(records, probe=probe, judge=judge)):
            passes = [point["forward_passes"] for point in record["points"]]
            estimates = [point["pass_at_1"] for point in record["points"]]
            words = "compiles first" if record["compiles_first"] else "among all"
            axes.plot(passes, [one["value"] for one in estimates], label=words, **mark(number))
            interval = [one["low"] for one in estimates], [one["high"] for one in estimates]
            axes.fill_between(passes, *interval, color=mark(number)["color"], alpha=0.15, linewidth=0)
        axes.set_title(f"{wrap(probe, 36)},\nthen {wrap(judge, 34)}", fontsize=8.5)
    legend(plot.figure, 2)
    return plot


def measures(records: Sequence[Record]) -> list[str]:
    """The prices that are known of any."""
    return [name for name in MEASURES if any(record[name] is not None for record in records)]


def cost(test_set: str, generator: str, records: Sequence[Record]) -> Plot:
    """pass@1 against each price that is known of any."""
    shown = measures(records)
    caption = "Up and to the left is better. Bars: 95 % intervals."
    n, height = counted(records, "tasks"), 1.4 + 2.3 * -(-len(shown) // 2) + 0.19 * len(records)
    plot = begin("cost", "pass@1 and what it costs", scope(test_set, generator), n, caption, height)
    grid = panels(plot.figure, len(shown), 2, y="pass@1", sharex=False)
    for axes, (measure, (words, unit)) in zip(grid, ((name, MEASURES[name]) for name in shown), strict=True):
        known = [(number, record) for number, record in enumerate(records) if record[measure] is not None]
        for number, record in known:
            of = "one answer" if record["candidates"] == 1 else f"best of {record['candidates']}"
            values, lengths = bars([record["pass_at_1"]])
            look = {"linestyle": "", "capsize": 2, "label": f"{record['name']}, {of}", **mark(number)}
            axes.errorbar([record[measure] * unit], values, yerr=lengths, **look)
        prices = [record[measure] for _, record in known]
        axes.set_xlabel(words)
        if min(prices) > 0 and max(prices) > 20 * min(prices):  # a linear axis would press some of them together
            axes.set_xscale("log")
            axes.xaxis.set(
                major_locator=LogLocator(subs=(1, 3)), major_formatter="{x:g}", minor_formatter=NullFormatter()
            )
        else:
            axes.locator_params(axis="x", nbins=5)
    legend(plot.figure)
    return plot


def _ways(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(record["way"].removesuffix(COMPILES_FIRST) for record in records))


def _n(records: Sequence[Record]) -> str:
    return f"{counted(records, 'tasks')}; {drawn(records)}"
