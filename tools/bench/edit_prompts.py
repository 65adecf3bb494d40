#!/usr/bin/env python3
"""Prompts whose continuation repeats much of them, made from texts at hand: code to be rewritten with a name changed, and
passages to be summarised, each after one worked example. For `ingot bench --speculate auto --prompt-set OUT`.

usage: edit_prompts.py code|summary TEXT OUT.jsonl [--count 8]
"""
import argparse
import json
import re


def code_blocks(text, count):
    """Stretches of 8 to 18 lines of a text of code, evenly over it, that use one name several times."""
    lines, found = text.splitlines(), []
    for at in range(0, len(lines) - 18, max(1, len(lines) // (count * 12))):
        block = lines[at:at + 12]
        names = re.findall(r"\b[a-z_]{4,12}\b", "\n".join(block))
        often = [n for n in dict.fromkeys(names) if names.count(n) >= 3]
        if often and sum(bool(line.strip()) for line in block) >= 10:
            found.append(("\n".join(block), often[0]))
    return found[:: max(1, len(found) // count)][:count]


def rename(block, name):
    return re.sub(rf"\b{name}\b", name + "_new", block)


def code_prompts(text, count):
    blocks = code_blocks(text, count + 1)
    example, name = blocks[0]
    first = (f"Rename {name} to {name}_new.\nBefore:\n```\n{example}\n```\nAfter:\n```\n{rename(example, name)}\n```\n\n")
    for block, of in blocks[1:]:
        lines = rename(block, of).splitlines()
        yield f"{first}Rename {of} to {of}_new.\nBefore:\n```\n{block}\n```\nAfter:\n```\n{lines[0]}\n"


def summary_prompts(text, count):
    passages = [p.strip() for p in re.split(r"\n\s*\n", text) if 500 < len(p.strip()) < 1200]
    passages = passages[:: max(1, len(passages) // (count + 1))][:count + 1]

    def summary(passage):
        sentences = re.split(r"(?<=[.!?])\s+", passage)
        return " ".join(sentences[:2])
    first = f"Text:\n{passages[0]}\n\nThe main sentences of the text, word by word:\n{summary(passages[0])}\n\n"
    for passage in passages[1:]:
        yield f"{first}Text:\n{passage}\n\nThe main sentences of the text, word by word:\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["code", "summary"])
    parser.add_argument("text")
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=8)
    options = parser.parse_args()
    with open(options.text) as file:
        text = file.read()
    make = code_prompts if options.kind == "code" else summary_prompts
    prompts = list(make(text, options.count))
    if not prompts:
        raise SystemExit(f"{options.text}: no fitting passage")
    with open(options.out, "w") as file:
        for prompt in prompts:
            file.write(json.dumps({"prompt": prompt}) + "\n")
    print(f"{options.out}: {len(prompts)} prompts")


if __name__ == "__main__":
    main()
