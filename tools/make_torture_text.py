#!/usr/bin/env python3
"""Writes a text that is hard on tokenizers: the same bytes for the same seed, valid UTF-8, under 200 KB.

usage: make_torture_text.py OUTPUT [--seed N]

All scripts and categories, combining marks in and out of order, emoji sequences, controls, characters
beside the surrogates, noncharacters, long runs of one character, digits of many scripts, mixed
directions, contractions, words too long for any cache, and random mixtures of all of it.
"""
import argparse
import pathlib
import random
import unicodedata

SPACES = [0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x180E, *range(0x2000, 0x2010), 0x2028, 0x2029, 0x202F,
          0x205F, 0x2060, 0x3000, 0xFEFF]
EDGES = [0x00, 0x01, 0x07, 0x1F, 0x7F, 0x80, 0x9F, 0xAD, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xF8FF, 0xFDD0, 0xFDEF, 0xFFF9, 0xFFFC,
         0xFFFD, 0xFFFE, 0xFFFF, 0x10000, 0x1FFFE, 0xE0001, 0xE007F, 0xF0000, 0x10FFFD, 0x10FFFF]
DIGITS = [0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xE50, 0x1040, 0xFF10, 0x104A0, 0x1D7CE, 0x1D7E2, 0x1FBF0]
NUMBERS = [0xB2, 0xBC, 0xBD, 0x2160, 0x216B, 0x2460, 0x2469, 0x3007, 0x3192, 0x10107, 0x16FF4]
MARKS = [0x300, 0x301, 0x308, 0x315, 0x323, 0x327, 0x338, 0x345, 0x5AE, 0x5B0, 0x5BF, 0x64B, 0x93C, 0x94D, 0xE38, 0x1DC0, 0x20D0,
         0x302E, 0x3099, 0xFE20, 0x1D165, 0x1D16D, 0xE0100]
NEWER = [0x897, 0xCF3, 0xECE, 0x1C89, 0x1C8A, 0x2FFC, 0xA7CB, 0xA7DA, 0x105C0, 0x10D40, 0x10D4A, 0x10D50, 0x10EFC, 0x10EFD, 0x11241,
         0x11380, 0x113E1, 0x116D0, 0x11BE0, 0x11BF0, 0x11F02, 0x11F50, 0x13460, 0x16100, 0x16D40, 0x1B132, 0x1CCF0, 0x1D2C0, 0x1E030,
         0x1E4D0, 0x1E4EC, 0x1E5D0, 0x1E5F1, 0x1F6DC, 0x1FAE8, 0x2EBF0, 0x31350]  # Unicode 15 to 16
EMOJI = ["\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f\u200d\U0001f525",
         "\U0001f44b\U0001f3fd", "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
         "\U0001f9d1\U0001f3ff\u200d\U0001f680", "\U0001f1e9", "\u200d", "\ufe0f"]
LOOKALIKES = ["caf\u00e9 cafe\u0301", "\u212b \u2126 \u212a K", "\ufb01\ufb03 \ufdfa \u3392", "\u1e9b\u0323 \u0344 \u0958 \u2adc",
              "\uac01 \u1100\u1161\u11a8 \uac00\u11a8", "\u0130\u0131I\u0307 \u1e9e\u00df \u03a3\u03c3\u03c2 \u017fS", "\uff21\uff42\uff11"]
WORDS = ["it's IT'S I'll WE'VE you'd don't DON'T '\u017f 'tis o'clock rock'n'roll ''s '", "http://x.y/z?a=b&c=%20#frag", "f(x)=y[0]+12;//",
         "<s>x</s> <unk><pad><mask>[MASK][CLS] [SEP]<|endoftext|><|im_start|>user", "<0x0A><0xE4>", "\u2581x \u2581\u2581y",
         "\u0120x\u010a", "##ing ##", "\xc3\xa9\xe2\x82\xac", "a\u0300b\u0301c", "1,234.56 12345678901234567890", "x" * 120, "ab" * 300,
         "_snake_case CamelCaseWord mIxEd", "...!!!???---___", "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb", "\u200bzero\u200cwidth\u200d",
         "\u05e9\u05dc\u05d5\u05dd abc \u0645\u0631\u062d\u0628\u0627 123 \u202eright\u202c \u2066to\u2069 left"]


def assigned():
    """Every 11th assigned character of the first planes, every script among them."""
    found = [c for c in range(0xA0, 0x32000) if not 0xD800 <= c < 0xF900 and unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    han = [c for c in found if 0x3400 <= c < 0xA000 or 0xAC00 <= c < 0xD7A4 or c >= 0x17000]
    rest = sorted(set(found) - set(han))
    return rest[::11] + han[::211]


def mixture(rng, every, count):
    out = []
    for _ in range(count):
        kind = rng.randrange(12)
        if kind == 0:
            out.append(chr(rng.choice(SPACES)) * rng.choice([1, 1, 1, 2, 3, 7]))
        elif kind == 1:
            out.append(chr(rng.choice(EDGES)))
        elif kind == 2:
            out.append("".join(chr(rng.choice(DIGITS) + rng.randrange(10)) for _ in range(rng.randrange(1, 9))))
        elif kind == 3:
            out.append(rng.choice("aeouxyAE\u00e4\u03b1") + "".join(chr(rng.choice(MARKS)) for _ in range(rng.randrange(1, 5))))
        elif kind == 4:
            out.append(rng.choice(EMOJI))
        elif kind == 5:
            out.append(rng.choice(WORDS))
        elif kind == 6:
            out.append(rng.choice(LOOKALIKES))
        elif kind == 7:
            out.append("".join(chr(rng.choice(every)) for _ in range(rng.randrange(1, 8))))
        elif kind == 8:
            out.append(chr(rng.choice(NUMBERS)))
        elif kind == 9:
            out.append("".join(rng.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u00a7\u00b6\u2014\u3001") for _ in range(rng.randrange(1, 4))))
        else:
            out.append("".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFG") for _ in range(rng.randrange(1, 9))))
        out.append(rng.choice(["", "", " ", " ", "\n", "  ", "\r\n", "\t", "'s", "."]))
    return "".join(out)


def scalars(text):
    return "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000)


def torture(seed):
    rng = random.Random(seed)
    every = assigned()
    parts = [
        "".join(f"a{chr(c)}\u0301 {chr(c)}1 A{chr(c)}" for c in NEWER),
        "".join(map(chr, every)), " ".join(map(chr, every[::5])), "".join(chr(c) + "\u0301" for c in every[::9]),
        "".join(f"a{chr(c)}a " for c in SPACES + EDGES), "\n".join(chr(c) * 3 for c in SPACES),
        " " * 300 + "x" + "\n" * 200 + "\t" * 100 + " \n" * 50 + "\r\n" * 50, "1234567890" * 60, "a" * 1500, "\u4e2d" * 400,
        "\u0301" * 200 + "e" + "\u0323\u0301" * 100, "!" * 300, "\U0001f600" * 150, "\u0e01\u0e34" * 100, "-" * 500,
        *WORDS, *LOOKALIKES, *EMOJI, "".join(EMOJI),
        "".join(chr(base + d) for base in DIGITS for d in range(10)), " ".join(map(chr, NUMBERS)),
        "".join(chr(c) for c in range(0x20, 0x250)), " ".join(chr(c) for c in range(0x21, 0x180)),
        mixture(rng, every, 7000),
    ]
    return scalars("\n".join(parts))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    data = torture(arguments.seed).encode("utf-8")
    assert len(data) <= 200_000, len(data)
    arguments.output.write_bytes(data)


if __name__ == "__main__":
    main()
