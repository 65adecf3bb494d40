#!/usr/bin/env python3
"""State-space, retention and hybrid models at the command line: pack, inspect, verify, eval, run.

usage: INGOT=path/to/ingot recurrent_cli_test.py
"""
import unittest

import tiny_model
from cli_case import Case
from family_case import FamilyTests

MODELS = ["mamba", "mamba-bias-untied", "falcon-mamba", "mamba2", "mamba2-limits-tied", "jamba", "bamba",
          "retnet", "retnet-plain-mlp"]
VOCABULARY = 96
# Parameters that are no matrices of a product, by the end of their names.
SMALL = (".A_log", ".D", ".dt_bias", ".conv1d.weight", "norm.weight", "norm_f.weight",
         "layernorm_embedding.weight", ".bias")


class Recurrent(FamilyTests, Case):
    MODELS = MODELS
    PROMPT = "Hello"
    LEAST_TEXT = 12

    @staticmethod
    def tokenizer():
        """Bytes 33 to 126 and two more: as many tokens as the fixtures have."""
        alphabet = [c for c in tiny_model.byte_alphabet() if 33 <= ord(c) < 127] + ["Ġ", "Ċ"]
        data = tiny_model.tokenizer()
        data["model"]["vocab"] = {c: i for i, c in enumerate(alphabet[:VOCABULARY])}
        return data

    @staticmethod
    def is_small(name):
        return name.endswith(SMALL)


if __name__ == "__main__":
    unittest.main(verbosity=2)
