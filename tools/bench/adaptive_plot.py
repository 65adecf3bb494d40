#!/usr/bin/env python3
"""Draws what `ingot tune-exits --json` and `ingot eval --precision --json` measured, as plain SVG: KL on a logarithmic
axis over the layers kept, or over the bits read.

usage: adaptive_plot.py exits TUNE.json [NAME=TUNE.json ...] -o docs/exits.svg
       adaptive_plot.py precision EVAL.json ... [--fixed NAME=EVAL.json ...] -o docs/precision.svg

TUNE.json is one artifact's; NAME=TUNE.json sets further artifacts beside it (identity exits beside translated ones). Each
EVAL.json is one `ingot eval --precision adaptive --json`; its int8 and int4 rows are drawn once. --fixed: an `ingot eval
--precision full` of an artifact of fewer bits against the same reference.
"""
import argparse
import json
import math
import sys

COLORS = ["#1b6ca8", "#2a9d4a", "#b58900", "#7a3e9d", "#d1495b", "#999999", "#e08e45"]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 900, 480, 76, 54, 20, 240


def svg(series, x_name, y_name):
    """series: {name: [(x, kl, title)]}; those of more than two points get a line."""
    points = [p for of in series.values() for p in of if p[1] > 0]
    if not points:
        sys.exit("nothing to draw: no point diverges")
    x0, x1 = min(p[0] for p in points), max(p[0] for p in points)
    margin = max((x1 - x0) * .06, .1)
    x0, x1 = x0 - margin, x1 + margin
    y0 = math.floor(math.log10(min(p[1] for p in points)))
    y1 = max(math.ceil(math.log10(max(p[1] for p in points))), y0 + 1)

    def px(x):
        return LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def py(kl):
        return HEIGHT - BOTTOM - (math.log10(kl) - y0) / (y1 - y0) * (HEIGHT - BOTTOM - TOP)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
           f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    step = 10 ** math.floor(math.log10((x1 - x0) / 2))
    step *= next(m for m in (1, 2, 5, 10) if (x1 - x0) / (step * m) <= 10)
    for i in range(math.ceil(x0 / step), math.floor(x1 / step) + 1):
        out.append(f'<path d="M{px(i * step):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/><text x="{px(i * step):.1f}" '
                   f'y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{i * step:g}</text>')
    for power in range(y0, y1 + 1):
        y = py(10 ** power)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/><text x="{LEFT - 8}" y="{y + 4:.1f}" '
                   f'text-anchor="end">{10 ** power:g}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{x_name}</text><text '
               f'transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{y_name}</text>')
    for i, (name, of) in enumerate(series.items()):
        color, of = COLORS[i % len(COLORS)], sorted(p for p in of if p[1] > 0)
        if len(of) > 2:
            path = "L".join(f"{px(x):.1f} {py(kl):.1f}" for x, kl, _ in of)
            out.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        for x, kl, title in of:
            out.append(f'<circle cx="{px(x):.1f}" cy="{py(kl):.1f}" r="4" fill="{color}"><title>{title}: {kl:.4f} at '
                       f'{x:.2f}</title></circle>')
        y = TOP + 16 + 20 * i
        out.append(f'<circle cx="{WIDTH - RIGHT + 16}" cy="{y - 4}" r="4" fill="{color}"/><text '
                   f'x="{WIDTH - RIGHT + 28}" y="{y}">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"


def named(argument):
    name, _, path = argument.rpartition("=")
    with open(path) as file:
        return name, json.load(file)


def exits(arguments):
    rules = {"routers": "by its router", "by chance": "by chance, as often", "at one depth": "all after one layer"}
    series = {}
    for name, tune in map(named, arguments):
        for point in tune["points"]:
            series.setdefault(f"{name}{', ' if name else ''}{rules[point['rule']]}", []).append(
                (point["kept_layers"], point["kl"], f"threshold {point['threshold']:g}"))
    return svg(series, "layers kept, a token in the mean", "KL divergence from all layers, nats a token")


def precision(arguments, fixed):
    series = {"adaptive": [], "by chance, the same mix": [], "mixed: by layer": [], "all tokens alike": [], "a fixed artifact": []}
    names = {"adaptive": "adaptive", "by chance": "by chance, the same mix", "mixed": "mixed: by layer"}
    for _, one in map(named, arguments):
        for variant in one["variants"]:
            point = (variant["bits_a_weight"], variant["kl"], variant["name"])
            of = series[names.get(variant["name"], "all tokens alike")]
            if point not in of:
                of.append(point)
    for name, one in map(named, fixed):
        series["a fixed artifact"].append((one["variants"][0]["bits_a_weight"], one["variants"][0]["kl"], name))
    return svg({name: of for name, of in series.items() if of}, "bits read a weight, counted",
               "KL divergence from the whole model, nats a token")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["exits", "precision"])
    parser.add_argument("json", nargs="+")
    parser.add_argument("--fixed", nargs="*", default=[])
    parser.add_argument("-o", required=True)
    options = parser.parse_args()
    drawn = exits(options.json) if options.what == "exits" else precision(options.json, options.fixed)
    with open(options.o, "w") as file:
        file.write(drawn)


if __name__ == "__main__":
    main()
