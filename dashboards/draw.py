#!/usr/bin/env python3
"""Draws a dashboard from what Prometheus answers to its queries, as Grafana lays it out: draw.py DASHBOARD URL BEGIN END PICTURE.
BEGIN and END are seconds of Unix time. For docs/: the conformance layer `watching` calls it (docs/conformance.md)."""

import io
import json
import math
import sys
import time
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image

# A column and a row of Grafana's grid, the space between panels, and what is above them, in pixels.
COLUMN, ROW, GAP, HEAD = 62, 30, 8, 58
COLUMNS, DPI = 24, 100
PAGE, PANEL, EDGE, GRID = "#111217", "#181b1f", "#2c3036", "#2c3036"
TEXT, WEAK, TITLE = "#ccccdc", "#8e8e9c", "#e6e6f0"
COLOURS = [
    "#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#ffa6b0", "#96d98d", "#ffee52",
    "#ca95e5", "#ffb357", "#37872d", "#e0b400", "#1f60c4", "#fa6400", "#c4162a", "#8f3bb8",
]
HEAT = LinearSegmentedColormap.from_list("heat", ["#181b1f", "#3b2f6b", "#8f3bb8", "#f2495c", "#ffb357", "#ffee52"])
VARIABLES = {"$driver": ".*", "$quantile": "0.99", "$__rate_interval": "10s"}
STEPS = 240


def ask(url, begin, end, target):
    """The series that a query answers: over the whole time, or at its end."""
    query = target["expr"]
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    path, words = "query", {"query": query, "time": end}
    if not target["instant"]:
        step = max(1, math.ceil((end - begin) / STEPS))
        path, words = "query_range", {"query": query, "start": begin, "end": end, "step": step}
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(words)}") as answer:
        return json.load(answer)["data"]["result"]


def legend(series, target):
    text = target["legendFormat"]
    for name, value in series["metric"].items():
        text = text.replace("{{" + name + "}}", value)
    while "{{" in text:
        text = text[: text.index("{{")] + text[text.index("}}") + 2 :]
    return " ".join(text.split()) or "value"


def points(series):
    found = [(float(at), float(value)) for at, value in series["values"]]
    return [point for point in found if math.isfinite(point[1])]


def written(value, unit):
    """A value with its unit, as Grafana writes it."""
    if unit == "percentunit":
        return f"{shortly(value * 100)}%"
    if unit == "bytes":
        for name in ("B", "KiB", "MiB", "GiB"):
            if abs(value) < 1024 or name == "GiB":
                return f"{shortly(value)} {name}"
            value /= 1024
    if unit == "s":
        if value == 0:
            return "0 s"
        for factor, name in ((1e6, "µs"), (1e3, "ms"), (1, "s"), (1 / 60, "mins"), (1 / 3600, "hours")):
            if abs(value * factor) < (1000 if factor > 1 else 60) or name == "hours":
                return f"{shortly(value * factor)} {name}"
    return shortly(value)


def shortly(value):
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


class Page:
    def __init__(self, dashboard, url, begin, end):
        self.dashboard, self.url, self.begin, self.end = dashboard, url, begin, end
        bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
        self.width, self.height = COLUMNS * COLUMN + GAP, HEAD + bottom * ROW + GAP
        self.figure = plt.figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI, facecolor=PAGE)

    def axes(self, left, top, width, height):
        """Axes at these pixels, counted from the left upper corner."""
        place = [left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height]
        axes = self.figure.add_axes(place)
        axes.set_facecolor("none")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(colors=WEAK, labelsize=6.5, length=0, pad=3)
        return axes

    def text(self, left, top, text, size=8, colour=TEXT, **more):
        return self.figure.text(left / self.width, 1 - top / self.height, text, fontsize=size, color=colour, va="top", **more)

    def box(self, left, top, width, height):
        at = (left / self.width, 1 - (top + height) / self.height)
        box = FancyBboxPatch(
            at, width / self.width, height / self.height, boxstyle="square,pad=0", facecolor=PANEL, edgecolor=EDGE,
            linewidth=0.8, transform=self.figure.transFigure, zorder=-5,
        )
        self.figure.add_artist(box)

    def draw(self):
        self.text(GAP * 2, 18, self.dashboard["title"], 13, TITLE, weight="bold")
        clock = " to ".join(time.strftime("%H:%M:%S", time.gmtime(at)) for at in (self.begin, self.end))
        chosen = f"Driver  All      Quantile  {VARIABLES['$quantile']}      {clock} UTC"
        self.text(self.width - GAP * 2, 20, chosen, 8, WEAK, ha="right")
        for panel in self.dashboard["panels"]:
            place = panel["gridPos"]
            left, top = place["x"] * COLUMN + GAP, HEAD + place["y"] * ROW
            width, height = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
            if panel["type"] == "row":
                self.text(left + 4, top + 7, "⌄  " + panel["title"], 9.5, TITLE, weight="bold")
                continue
            self.box(left, top, width, height)
            self.text(left + 10, top + 9, panel["title"], 8, TITLE, weight="bold")
            self.panel(panel, left + 10, top + 30, width - 20, height - 38)

    def panel(self, panel, left, top, width, height):
        series = []
        for target in panel["targets"]:
            for one in ask(self.url, self.begin, self.end, target):
                series.append((legend(one, target), one))
        if not series:
            self.text(left + width / 2, top + height / 2 - 8, "No data", 9, WEAK, ha="center")
            return
        unit = panel["fieldConfig"]["defaults"]["unit"]
        draw = {
            "timeseries": self.lines, "stat": self.numbers, "table": self.table, "heatmap": self.heat,
            "state-timeline": self.states,
        }[panel["type"]]
        draw(series, unit, left, top, width, height)

    def time_axis(self, axes):
        axes.set_xlim(self.begin, self.end)
        every = next(step for step in (15, 30, 60, 120, 300, 600, 1e9) if (self.end - self.begin) / step <= 6)
        ticks = range(math.ceil(self.begin / every) * int(every), int(self.end), int(every))
        axes.set_xticks(list(ticks), [time.strftime("%H:%M:%S", time.gmtime(at)) for at in ticks])

    def lines(self, series, unit, left, top, width, height):
        series = [(name, points(one)) for name, one in series]
        series = [(name, values) for name, values in series if values]
        series.sort(key=lambda one: -max(value for _, value in one[1]))
        below = self.legend([name for name, _ in series], left, top + height, width)
        axes = self.axes(left + 46, top, width - 50, height - below - 20)
        gap = 3 * max(1, (self.end - self.begin) / STEPS)
        for number, (_, values) in reversed(list(enumerate(series))):
            colour = COLOURS[number % len(COLOURS)]
            # A series that was away is no line from before to after.
            parts, last = [[]], None
            for at, value in values:
                if last is not None and at - last > gap:
                    parts.append([])
                parts[-1].append((at, value))
                last = at
            for part in parts:
                xs, ys = zip(*part)
                axes.plot(xs, ys, color=colour, linewidth=1.1, marker="o" if len(part) == 1 else None, markersize=2)
                if len(series) <= 4:
                    axes.fill_between(xs, ys, color=colour, alpha=0.1, linewidth=0)
        highest = max((value for _, values in series for _, value in values), default=1) or 1
        axes.set_ylim(0, highest * 1.1)
        ticks = nice(highest, 2**20 if unit == "bytes" else 1)
        axes.set_yticks(ticks, [written(tick, unit) for tick in ticks])
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        self.time_axis(axes)

    def legend(self, names, left, bottom, width):
        """The names below a panel in up to three lines; how many pixels they take."""
        lines, at = [[]], 0
        shown = 0
        for number, name in enumerate(names):
            name = name if len(name) <= 44 else name[:43] + "…"
            needs = 26 + 5.5 * len(name)
            # The last line has room for how many more there are.
            room = width - 70 if len(lines) == 3 and number + 1 < len(names) else width
            if at + needs > room and lines[-1]:
                if len(lines) == 3:
                    break
                lines.append([])
                at = 0
            lines[-1].append((at, name, COLOURS[number % len(COLOURS)]))
            at += needs
            shown += 1
        for index, line in enumerate(lines):
            top = bottom - (len(lines) - index) * 14 + 2
            for offset, name, colour in line:
                self.text(left + offset, top, "━", 7, colour, weight="bold")
                self.text(left + offset + 13, top, name, 7, TEXT)
        if shown < len(names):
            self.text(left + width, bottom - 12, f"and {len(names) - shown} more", 7, WEAK, ha="right")
        return 14 * len(lines)

    def numbers(self, series, unit, left, top, width, height):
        each = width / len(series)
        for number, (name, one) in enumerate(series):
            middle = left + each * (number + 0.5)
            value = float(one["value"][1])
            size = min(26, each / 4)
            colour = "#73bf69"
            self.text(middle, top + height / 2 - size * 0.9, written(value, unit), size, colour, ha="center", weight="bold")
            self.text(middle, top + height - 30, wrapped(name, each), 7, TEXT, ha="center")

    def table(self, series, unit, left, top, width, height):
        names = sorted({key for _, one in series for key in one["metric"] if not key.startswith("__")})
        keep = [name for name in names if name not in ("instance", "job", "namespace", "pod")] or names
        columns = [*keep, "Value"]
        each = width / len(columns)
        most = int(each / 5.6)
        for number, name in enumerate(columns):
            self.text(left + each * number, top, name, 7.5, "#6e9fff", weight="bold")
        for row, (_, one) in enumerate(series):
            y = top + 20 + row * 17
            if y + 12 > top + height:
                break
            values = [one["metric"].get(name, "") for name in keep] + [written(float(one["value"][1]), unit)]
            for number, value in enumerate(values):
                self.text(left + each * number, y, value if len(value) <= most else value[: most - 1] + "…", 7.5)

    def heat(self, series, unit, left, top, width, height):
        bounds = sorted(series, key=lambda one: float(one[1]["metric"]["le"]))
        before, rows = {}, []
        for _, one in bounds:
            values = dict(points(one))
            rows.append((one["metric"]["le"], {at: max(0, value - before.get(at, 0)) for at, value in values.items()}))
            before = values
        used = [index for index, (_, values) in enumerate(rows) if any(values.values())]
        rows = rows[: max(used, default=0) + 2]
        axes = self.axes(left + 46, top, width - 50, height - 20)
        most = max((value for _, values in rows for value in values.values()), default=0) or 1
        step = max(1, math.ceil((self.end - self.begin) / STEPS))
        for index, (_, values) in enumerate(rows):
            for at, value in values.items():
                if value > 0:
                    axes.add_patch(Rectangle((at - step, index), step, 0.94, color=HEAT(0.25 + 0.75 * value / most), linewidth=0))
        axes.set_ylim(0, len(rows))
        each = max(1, len(rows) // 6)
        texts = [written(float(le), unit) if le != "+Inf" else "more" for le, _ in rows]
        axes.set_yticks([index + 0.5 for index in range(0, len(rows), each)], texts[::each])
        self.time_axis(axes)

    def states(self, series, unit, left, top, width, height):
        series = sorted(series, key=lambda one: one[0])
        axes = self.axes(left + width * 0.5, top, width * 0.5 - 4, height - 20)
        step = max(1, math.ceil((self.end - self.begin) / STEPS))
        for index, (_, one) in enumerate(series):
            for at, value in points(one):
                colour = "#73bf69" if value > 0 else "#f2495c"
                axes.add_patch(Rectangle((at, len(series) - 1 - index + 0.12), step, 0.76, color=colour, linewidth=0, alpha=0.85))
        axes.set_ylim(0, len(series))
        names = [name if len(name) <= 50 else name[:49] + "…" for name, _ in series]
        axes.set_yticks([len(series) - index - 0.5 for index in range(len(series))], names)
        axes.tick_params(axis="y", labelsize=6.2, labelcolor=TEXT)
        self.time_axis(axes)

    def save(self, path):
        drawn = io.BytesIO()
        self.figure.savefig(drawn, format="png", facecolor=PAGE, dpi=DPI)
        image = Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE)
        image.save(path, optimize=True)


def wrapped(name, width):
    most = max(8, int(width / 5))
    lines = [""]
    for letter in name:
        if len(lines[-1]) >= most:
            lines.append("")
        lines[-1] += letter
    return "\n".join(lines[:2])


def nice(highest, base):
    """Four or five round numbers of a unit up to the highest value."""
    rough = highest / base / 4
    power = 10 ** math.floor(math.log10(rough))
    step = base * next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [step * number for number in range(int(highest * 1.1 / step) + 1)]


def main():
    dashboard, url, begin, end, picture = sys.argv[1:]
    with open(dashboard) as file:
        page = Page(json.load(file), url, float(begin), float(end))
    page.draw()
    page.save(picture)


if __name__ == "__main__":
    main()
