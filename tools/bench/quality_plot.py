"""Table and plot of tools/bench/quality, written into docs/. The plot is plain SVG: KL on a logarithmic axis over
bits per linear weight, a line a kind."""
import math
import re

COLORS = {"entropy": "#1b6ca8", "fixed": "#2a9d4a", "plain": "#b58900", "nearest": "#999999", "whole": "#7a3e9d",
          "llama.cpp": "#d1495b", "peer": "#e08e45"}
NAMES = {"entropy": "entropy_v1, allocated", "fixed": "int*_gptq, allocated", "plain": "one codec throughout",
         "nearest": "nearest", "whole": "whole file", "llama.cpp": "llama.cpp with imatrix", "peer": "other peers"}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 860, 520, 70, 50, 20, 200


def svg(rows):
    rows = [r for r in rows if r["kl"] > 0 and r["bits"] <= 9]
    x0, x1 = math.floor(min(r["bits"] for r in rows)), math.ceil(max(r["bits"] for r in rows))
    y0 = math.floor(math.log10(min(r["kl"] for r in rows)))
    y1 = math.ceil(math.log10(max(r["kl"] for r in rows)))

    def px(bits):
        return LEFT + (bits - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def py(kl):
        return HEIGHT - BOTTOM - (math.log10(kl) - y0) / (y1 - y0) * (HEIGHT - BOTTOM - TOP)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
           f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for bits in range(x0, x1 + 1):
        out.append(f'<path d="M{px(bits):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/><text x="{px(bits):.1f}" '
                   f'y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{bits}</text>')
    for power in range(y0, y1 + 1):
        y = py(10 ** power)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/><text x="{LEFT - 8}" y="{y + 4:.1f}" '
                   f'text-anchor="end">{10 ** power:g}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">stored bits per linear '
               f'weight</text><text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">KL '
               f'divergence from the source, nats a token</text>')
    for i, kind in enumerate(k for k in NAMES if any(r["kind"] == k for r in rows)):
        mine = sorted((r for r in rows if r["kind"] == kind), key=lambda r: r["bits"])
        color = COLORS[kind]
        if kind in ("entropy", "fixed"):
            path = "L".join(f"{px(r['bits']):.1f} {py(r['kl']):.1f}" for r in mine)
            out.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        for r in mine:
            out.append(f'<circle cx="{px(r["bits"]):.1f}" cy="{py(r["kl"]):.1f}" r="3.5" fill="{color}"><title>'
                       f'{r["label"]}: {r["kl"]:.4f} at {r["bits"]:.2f}</title></circle>')
            if kind in ("llama.cpp", "peer"):
                out.append(f'<text x="{px(r["bits"]) + 6:.1f}" y="{py(r["kl"]) - 5:.1f}" font-size="10">'
                           f'{r["label"].replace("llama.cpp ", "")}</text>')
        y = TOP + 16 + 20 * i
        out.append(f'<circle cx="{WIDTH - RIGHT + 16}" cy="{y - 4}" r="4" fill="{color}"/><text '
                   f'x="{WIDTH - RIGHT + 28}" y="{y}">{NAMES[kind]}</text>')
    return "\n".join(out) + "\n</svg>\n"


def table(rows, windows):
    lines = [f"{windows} windows of 512 tokens of WikiText-2 (test), scored on the second half of each; KL and its "
             "standard error against the BF16 source, and what the plan of a budget predicted; linear weights only unless "
             "the row says otherwise.", "",
             "| | bits per linear weight | file, MB | KL | predicted | top-1 | ΔPPL, % |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for r in sorted(rows, key=lambda r: (-r["bits"], r["kl"])):
        size = f"{r['bytes'] / 1e6:.1f}" if r["bytes"] else "–"
        predicted = f"{r['predicted']:.5f}" if "predicted" in r else "–"
        lines.append(f"| {r['label']} | {r['bits']:.3f} | {size} | {r['kl']:.5f} ± {r['stderr']:.5f} | {predicted} | "
                     f"{r['top1']:.3f} | {r['ppl']:+.2f} |")
    return "\n".join(lines)


def write(rows, windows, docs):
    (docs / "quality.svg").write_text(svg(rows))
    page = docs / "benchmarks.md"
    text = page.read_text()
    section = ("<!-- quality -->\n![KL divergence over bits per weight](quality.svg)\n\n" + table(rows, windows) +
               "\n<!-- /quality -->")
    if "<!-- quality -->" in text:
        text = re.sub(r"<!-- quality -->.*<!-- /quality -->", lambda _: section, text, flags=re.S)
    else:
        text += "\n## Quality by size\n\n`tools/bench/quality --write` prints and writes this.\n\n" + section + "\n"
    page.write_text(text)
