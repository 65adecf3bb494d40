#!/usr/bin/env python3
"""Where the levels of `int` planes with levels = normal come from (docs/codecs.md, 3), and what they gain.

usage: normal_levels.py        in tools/setup --python's environment

Normal numbers in groups, each group under its own least-squares scale: levels are moved to their codes' means and
groups refitted, in turn (Lloyd 1982), then rounded to sixteenths of the unit in which the highest is 127.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import numpy as np

CLIPS = np.linspace(0.72, 1.25, 12)  # of the largest weight, where the highest level may lie


def fit(weights, levels, tops, signs=(1,)):
    """Each group's best scale and levels, nearest: (relative squared error, scales, levels of weights)."""
    middles = (levels[1:] + levels[:-1]) / 2
    gains, scales = np.full(len(weights), -1.0), np.ones(len(weights))
    largest = np.abs(weights).max(1)
    for sign in signs:
        for top in tops:
            q = levels[np.searchsorted(middles, weights / (sign * top * largest)[:, None])]
            xq, qq = (weights * q).sum(1), (q * q).sum(1)
            better = xq * xq / qq > gains
            gains[better], scales[better] = (xq * xq / qq)[better], (xq / qq)[better]
    q = levels[np.searchsorted(middles, weights / scales[:, None])]
    return ((weights - q * scales[:, None]) ** 2).sum() / (weights ** 2).sum(), scales, q


def lloyd(weights):
    half = np.linspace(1 / 8, 1, 8)
    for _ in range(40):
        levels = np.concatenate([-half[::-1], half])
        _, scales, q = fit(weights, levels, CLIPS)
        share, size = scales[:, None] ** 2, np.abs(weights / scales[:, None])
        for k in range(8):
            at = np.abs(q) == half[k]
            half[k] = (size * share)[at].sum() / np.broadcast_to(share, q.shape)[at].sum()
    return half / half[-1]


def main():
    rng = np.random.default_rng(1)
    table = np.array([6, 18, 30, 44, 58, 75, 96, 127.0])
    equal = np.arange(-8, 8.0)
    for group in (32, 64, 128, 256):
        weights = rng.standard_normal((400000 // group, group))
        steps = fit(weights, equal, 1 / (8 * (0.8 + 0.055 * np.arange(12))), (1, -1))[0]
        stored = fit(weights, np.concatenate([-table[::-1], table]), CLIPS / 127)[0]
        print(f"groups of {group:3d}: Lloyd's levels {np.round(127 * lloyd(weights), 1)}; squared error {stored:.5f} with "
              f"{table.astype(int)}, {steps:.5f} with 16 equal steps: {stored / steps:.3f}x", flush=True)


if __name__ == "__main__":
    main()
