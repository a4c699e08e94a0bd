#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Draws what `bench/run --json` has measured of connections: a bar from 1.0 to each ratio, with its
interval and its target. Reads the JSON from a file or from standard input, and writes an SVG."""
import html
import json
import sys

LEFT, WIDTH, RIGHT = 420, 560, 60  # names, scale, figures beyond it; pixels
ROW, HEAD, MARGIN = 22, 34, 20
LOW = 0.97  # where the scale begins

STYLE = """
	.paper { fill: #ffffff; stroke: #d5dbe0 }
	text { fill: #22303a }
	.quiet { fill: #5d6a74 }
	.grid { stroke: #e3e8ec }
	.one { stroke: #22303a; stroke-width: 1.5 }
	.waybill { fill: #3b7dbd }
	.nft { fill: #d08b2c }
	.direct { fill: #98a4ad }
	.interval { stroke: #22303a; stroke-width: 1.5; fill: none }
	.target { stroke: #c2323f; stroke-width: 2.5 }
	@media (prefers-color-scheme: dark) {
		.paper { fill: #14191e; stroke: #39444d }
		text { fill: #e4eaef }
		.quiet { fill: #a3b0ba }
		.grid { stroke: #2a333b }
		.one { stroke: #e4eaef }
		.waybill { fill: #5b9ede }
		.nft { fill: #dd9c41 }
		.direct { fill: #7b8892 }
		.interval { stroke: #e4eaef }
		.target { stroke: #ff6b78 }
	}
"""


class Scale:
    """From ratios to pixels. What is beyond the end is drawn at the end."""

    def __init__(self, rows):
        furthest = max([row["ratio"] for row in rows] + [row.get("target", 1) for row in rows])
        self.high = max(1.2, int(furthest * 20 + 1.5) / 20)

    def __call__(self, ratio):
        ratio = min(max(ratio, LOW), self.high)
        return LEFT + (ratio - LOW) / (self.high - LOW) * WIDTH

    def marks(self):
        return [mark / 100 for mark in range(100, int(self.high * 100 + 0.5) + 1, 5)]


def kind(row):
    """What a bar stands for, which is its colour."""
    words = row["key"].split("-")
    return next((k for k in ("nft", "direct") if any(w in (k, k + "6") for w in words)), "waybill")


def line(x1, y1, x2, y2, what):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{what}"/>'


def text(x, y, words, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(words)}</text>'


def interval(left, right, y, ends=(True, True)):
    """A line, with an end on each side that is not beyond the scale. Pixels."""
    drawn = [line(left, y, right, y, "interval")]
    drawn += [line(x, y - 4, x, y + 4, "interval") for x, end in zip((left, right), ends) if end]
    return "".join(drawn)


def row_drawn(row, y, scale):
    """One row: name, bar, interval, target, figure. y: its middle."""
    low, high, ratio = row["low"], row["high"], row["ratio"]
    left, right = sorted((scale(1), scale(ratio)))
    told = f'{row["name"]}: {ratio:.3f}'
    if low is not None:
        told += f" ({low:.3f} to {high:.3f})"
    if "target" in row:
        told += f', target {row["target"]:.3f}: {row["reached"]}'
    drawn = [f"<g><title>{html.escape(told)}</title>", text(MARGIN + 12, y + 4.5, row["name"]),
             f'<rect x="{left:.1f}" y="{y - 6}" width="{right - left:.1f}" height="12" '
             f'class="{kind(row)}"/>']
    if low is not None:
        drawn.append(interval(scale(low), scale(high), y, (low >= LOW, high <= scale.high)))
    if "target" in row:
        drawn.append(line(scale(row["target"]), y - 9, scale(row["target"]), y + 9, "target"))
    drawn.append(text(LEFT + WIDTH + RIGHT - 8, y + 4.5, f"{ratio:.3f}", 'text-anchor="end"'))
    return "".join(drawn) + "</g>"


def legend(y):
    """What the colours are."""
    drawn, x = [], LEFT
    for what, words, room in (("waybill", "Waybill", 95), ("nft", "nft REDIRECT", 130),
                              ("direct", "not redirected", 135)):
        drawn.append(f'<rect x="{x}" y="{y - 6}" width="12" height="12" class="{what}"/>')
        drawn.append(text(x + 18, y + 4.5, words))
        x += room
    drawn += [line(x, y - 8, x, y + 8, "target"), text(x + 8, y + 4.5, "target")]
    drawn += [interval(x + 75, x + 95, y), text(x + 103, y + 4.5, "95 % interval")]
    return "".join(drawn)


def picture(measured):
    """The whole of it: groups of rows that are compared with a direct connection."""
    rows = [row for row in measured["rows"]
            if "direct" in row.get("base", "") and row["base"] != row["key"]]
    if not rows:
        raise SystemExit("picture.py: no connection among what was measured")
    scale = Scale(rows)
    drawn, y, group = [], MARGIN + 14, None
    drawn.append(text(MARGIN, y + 4.5, "Compared with a direct connection", 'font-weight="bold"'))
    drawn.append(legend(y))
    y += 28
    top = y
    for row in rows:
        if row["group"] != group:
            group = row["group"]
            y += HEAD
            drawn.append(text(MARGIN, y - 12, group, 'class="quiet" font-style="italic"'))
        drawn.append(row_drawn(row, y + ROW / 2 - 6, scale))
        y += ROW
    for mark in scale.marks():
        drawn.insert(0, line(scale(mark), top + 10, scale(mark), y, "grid"))
        for at in (top, y + 18):
            drawn.append(text(scale(mark), at, f"{mark:.2f}",
                              'class="quiet" text-anchor="middle" font-size="12"'))
    drawn.append(line(scale(1), top + 10, scale(1), y, "one"))
    y += 44
    drawn.append(text(MARGIN, y, f'Linux {measured["kernel"]}, {measured["processor"]}, '
                      f'{measured["cpus"]} CPUs, {measured["rounds"]} rounds of '
                      f'{measured["connections"]} connections',
                      'class="quiet" font-size="12"'))
    width, height = LEFT + WIDTH + RIGHT + MARGIN, y + MARGIN
    return "\n".join([
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<!-- SPDX-License-Identifier: BSD-2-Clause -->",
        "<!-- Made by bench/picture.py. -->",
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="13">',
        "<title>What a connection costs, compared with a direct one</title>",
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" class="paper"/>',
        *drawn, "</svg>", ""])


def main():
    """Reads and writes."""
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        raise SystemExit("usage: picture.py [FILE.json] >FILE.svg")
    with open(sys.argv[1]) if len(sys.argv) == 2 else sys.stdin as file:
        sys.stdout.write(picture(json.load(file)))


if __name__ == "__main__":
    main()
