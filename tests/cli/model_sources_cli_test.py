#!/usr/bin/env python3
"""Models as people have them: end of text and sampling from every file that may say them, names that training and
wrappers give, folders of the Hub's cache, keys that nobody knows, and files that are something else.

usage: INGOT=path/to/ingot model_sources_cli_test.py
"""
import json
import os
import shutil
import struct
import unittest

import tiny_model
from cli_case import CORRUPT, FAILED, NOT_FOUND, USAGE, Case
from family_case import FIXTURES

LETTER = 66  # "B" in the tiny model's vocabulary of bytes


def printable_tokenizer(size):
    """A token a printable byte."""
    data = tiny_model.tokenizer()
    data["model"]["vocab"] = {chr(33 + i): i for i in range(size)}
    return data


def always(token):
    """The tiny model's tensors, with a head that gives `token` whatever was before."""
    tensors = tiny_model.tensors()
    for name, (shape, data) in tensors.items():
        if name == "model.embed_tokens.weight":
            tensors[name] = (shape, struct.pack("<H", tiny_model.bf16(1.0)) * (len(data) // 2))
        elif name.endswith(("o_proj.weight", "down_proj.weight", "lm_head.weight")):
            tensors[name] = (shape, bytes(len(data)))
    shape, data = tensors["lm_head.weight"]
    row = 2 * shape[1]
    ones = struct.pack("<H", tiny_model.bf16(1.0)) * shape[1]
    tensors["lm_head.weight"] = (shape, data[:row * token] + ones + data[row * (token + 1):])
    return tensors


class ModelSources(Case):
    def folder(self, name, tensors=None, config=None, files=None, weights="model.safetensors"):
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config or tiny_model.config()))
        (folder / "tokenizer.json").write_text(json.dumps(tiny_model.tokenizer()))
        for file, content in (files or {}).items():
            (folder / file).write_text(content if isinstance(content, str) else json.dumps(content))
        if weights:
            tiny_model.write_safetensors(folder / weights, tensors or tiny_model.tensors())
        return folder

    def text(self, model, *args, prompt="a"):
        return self.run_ok("run", model, "-p", prompt, "-n", "5", "-q", *args).stdout.decode()

    def same_text(self, model, *args):
        """As the plain model's, from the source and from an artifact of it."""
        want = self.text(self.model, "--greedy", "--exact")
        self.assertEqual(self.text(model, "--greedy", "--exact", *args), want)
        target = self.work / "same.ingot"
        run = self.run_ok("pack", model, "-o", target, "--force", "-q", "--codec", "lossless_v1")
        self.assertEqual(self.text(target, "--greedy", "--exact"), want)
        return run.stderr.decode()

    def test_end_of_text_from_every_file(self):
        config = tiny_model.config
        cases = {  # name: (config.json, files, what is generated)
            "nobody": (config(), {}, "BBBBB"),
            "config": (dict(config(), eos_token_id=LETTER), {}, ""),
            "config-list": (dict(config(), eos_token_id=[7, LETTER]), {}, ""),
            "generation": (config(), {"generation_config.json": {"eos_token_id": LETTER}}, ""),
            "generation-list": (config(), {"generation_config.json": {"eos_token_id": [3, LETTER]}}, ""),
            # That file alone, where it names one.
            "other": (dict(config(), eos_token_id=LETTER),
                      {"generation_config.json": {"eos_token_id": 5}}, "BBBBB"),
            "silent": (dict(config(), eos_token_id=LETTER),
                       {"generation_config.json": {"do_sample": False}}, ""),
            "tokenizer": (config(), {"tokenizer_config.json": {"eos_token": "B"}}, ""),
        }
        tensors = always(LETTER)
        for name, (settings, files, want) in cases.items():
            with self.subTest(name):
                folder = self.folder("eos", tensors, settings, files)
                self.assertEqual(self.text(folder, "--greedy"), want)
                if name != "tokenizer":  # which makes of it a special token, which is not printed
                    self.assertEqual(self.text(folder, "--greedy", "--ignore-eos"), "BBBBB")
                target = self.pack("eos.ingot", "--codec", "int8_rtn", model=folder)
                self.assertEqual(self.text(target, "--greedy"), want)

    def test_sampling_as_the_model_wants_it(self):
        says = {"do_sample": True, "temperature": 0.25, "top_k": 7, "top_p": 0.5, "repetition_penalty": 1.25}
        folder = self.folder("sampled", files={"generation_config.json": says})
        target = self.pack("sampled.ingot", "--codec", "raw", model=folder)
        own = ["--temperature", "0.25", "--top-k", "7", "--top-p", "0.5", "--repeat-penalty", "1.25"]
        for model in (folder, target):
            run = self.run_ok("run", model, "-p", "a", "-n", "20", "--seed", "3")
            self.assertIn("as generation_config.json says: repeat-penalty 1.25, temperature 0.25, top-k 7, top-p 0.5\n",
                          run.stderr.decode())
            wanted = self.run_ok("run", self.model, "-p", "a", "-n", "20", "--seed", "3", *own)
            self.assertEqual(run.stdout, wanted.stdout)
            self.assertNotIn("generation_config", wanted.stderr.decode())
            half = self.run_ok("run", model, "-p", "a", "-n", "20", "--top-k", "2", "--greedy").stderr.decode()
            self.assertIn("as generation_config.json says: repeat-penalty 1.25\n", half)
            self.assertEqual(self.run_ok("run", model, "-p", "a", "-n", "2", "-q").stderr, b"")
        greedy = self.folder("greedy", files={"generation_config.json": {"do_sample": False}})
        run = self.run_ok("run", greedy, "-p", "a", "-n", "9")
        self.assertIn("as generation_config.json says: greedy\n", run.stderr.decode())
        self.assertEqual(run.stdout, self.run_ok("run", self.model, "-p", "a", "-n", "9", "--greedy").stdout)
        bad = self.folder("bad", files={"generation_config.json": {"temperature": -1}})
        self.fails(USAGE, "generation_config.json: 'temperature' is -1, a number from 0", "run", bad, "-p", "a")
        self.run_ok("run", bad, "-p", "a", "-n", "1", "-q", "--greedy", *own, "--min-p", "0")

    def test_names_that_training_leaves(self):
        plain = tiny_model.tensors()
        for prefix in ("module.", "_orig_mod.", "base_model.model.", "module._orig_mod."):
            with self.subTest(prefix):
                self.same_text(self.folder("wrapped", {prefix + k: v for k, v in plain.items()}))
        inside = {k.replace("layers.0.", "layers.0._orig_mod."): v for k, v in plain.items()}
        self.same_text(self.folder("wrapped", inside))
        lora = dict(plain, **{"model.layers.0.self_attn.q_proj.lora_A.default.weight":
                              plain["model.norm.weight"]})
        self.fails(FAILED, "lora_A.*merge it into the model", "pack", self.folder("lora", lora), "-o",
                   self.work / "x")

    def test_the_text_model_inside(self):
        plain = tiny_model.tensors()
        vision = {"vision_tower.patch.weight": ((8, 8), bytes(128)), "multi_modal_projector.linear.bias":
                  ((4,), bytes(8))}
        text = tiny_model.config()
        config = {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "text_config": text,
                  "vision_config": {"model_type": "clip_vision_model"}, "tie_word_embeddings": False}
        layouts = {
            "old": lambda k: "language_model." + k,
            "new": lambda k: k.replace("model.", "model.language_model.", 1),
            "idefics": lambda k: k.replace("model.", "model.text_model.", 1),
        }
        for name, rename in layouts.items():
            with self.subTest(name):
                folder = self.folder("vision", dict({rename(k): v for k, v in plain.items()}, **vision), config)
                said = self.same_text(folder)
                self.assertRegex(said, r"warning: the text model alone is taken.*2 tensors of 0.0 MB in all "
                                 r"\('multi_modal_projector.linear.bias', ...\)")
        qwen = dict(text, model_type="qwen2_vl", vision_config={},
                    rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]})
        biases = {f"model.layers.{i}.self_attn.{p}_proj.bias": ((64 if p == "q" else 32,),
                                                                bytes(128 if p == "q" else 64))
                  for i in range(2) for p in "qkv"}
        self.same_text(self.folder("qwen", {**plain, **biases, "visual.blocks.0.weight": ((8, 8), bytes(128))}, qwen))
        other = self.folder("other", {"vision." + k: v for k, v in plain.items()}, config)
        self.fails(NOT_FOUND, "none of 21 tensors is of the text model", "pack", other, "-o", self.work / "x")

    def test_mamba_as_it_was_first_written(self):
        """state-spaces/mamba: a config.json without a model_type, one name that is another."""
        for name, ssm in (("mamba", {"d_state": 5, "d_conv": 3, "dt_rank": 3}),
                          ("mamba2-gelu", {"layer": "Mamba2", "d_state": 4, "headdim": 8, "ngroups": 1})):
            with self.subTest(name):
                folders = [self.work / f"{name}-{way}" for way in ("new", "original")]
                size = min(94, json.loads((FIXTURES / name / "config.json").read_text())["vocab_size"])
                for folder in folders:
                    shutil.copytree(FIXTURES / name, folder)
                    (folder / "tokenizer.json").write_text(json.dumps(printable_tokenizer(size)))
                new = json.loads((folders[0] / "config.json").read_text())
                # The original's convolutions are SiLU, always.
                (folders[0] / "config.json").write_text(json.dumps({**new, "hidden_act": "silu"}))
                (folders[1] / "config.json").write_text(json.dumps(
                    {"d_model": new["hidden_size"], "n_layer": 2, "vocab_size": new["vocab_size"] - 3,
                     "pad_vocab_size_multiple": 8, "ssm_cfg": ssm, "rms_norm": True, "residual_in_fp32": True,
                     "tie_embeddings": new["tie_word_embeddings"]}))
                weights = folders[1] / "model.safetensors"
                data = weights.read_bytes()
                self.assertEqual(data.count(b'"backbone.embeddings.weight":'), 1)
                weights.write_bytes(data.replace(b'"backbone.embeddings.weight":', b'"backbone.embedding.weight" :'))
                texts = [self.text(folder, "--greedy", "--exact", "--ignore-eos", prompt="0123") for folder in folders]
                self.assertEqual(texts[0], texts[1])

    def test_heads_and_buffers(self):
        plain = tiny_model.tensors()
        extra = dict(plain, **{"score.weight": ((2, 64), bytes(256))})
        folder = self.folder("classifier", extra)
        self.fails(FAILED, "'score.weight'.*--allow-unused leaves such tensors out", "pack", folder, "-o",
                   self.work / "x")
        self.run_ok("pack", folder, "-o", self.work / "made", "--allow-unused", "--force", "-q")
        # A buffer of whole numbers, which the writer of these tests has no type for.
        path = folder / "model.safetensors"
        tiny_model.write_safetensors(path, dict(plain, steps=((2, 4), bytes(16))))
        data = path.read_bytes()
        self.assertEqual(data.count(b'"steps": {"dtype": "BF16", "shape": [2, 4]'), 1)
        path.write_bytes(data.replace(b'"steps": {"dtype": "BF16", "shape": [2, 4]',
                                      b'"steps": {"dtype": "I64", "shape": [ 2 ]  '))
        self.fails(FAILED, "'steps'.*--allow-unused", "pack", folder, "-o", self.work / "x")
        self.run_ok("pack", folder, "-o", self.work / "made", "--allow-unused", "--force", "-q")

    def test_tied_heads_and_the_index(self):
        plain = tiny_model.tensors()
        tied = {k: v for k, v in plain.items() if k != "lm_head.weight"}
        config = dict(tiny_model.config(), tie_word_embeddings=True)
        for name, tensors, listed in (("missing", tied, plain), ("unlisted", plain, tied)):
            with self.subTest(name):
                folder = self.folder("index", tensors, config, weights="model-00001-of-00001.safetensors")
                (folder / "model.safetensors.index.json").write_text(json.dumps(
                    {"weight_map": {k: "model-00001-of-00001.safetensors" for k in listed}}))
                self.run_ok("pack", folder, "-o", self.work / "made", "--force", "-q")
        folder = self.folder("index", tied, tiny_model.config(), weights="model-00001-of-00001.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps(
            {"weight_map": {k: "model-00001-of-00001.safetensors" for k in plain}}))
        self.fails(CORRUPT, "'lm_head.weight' is not in it", "pack", folder, "-o", self.work / "x")

    def test_where_models_lie(self):
        want = self.text(self.model, "--greedy")
        self.assertEqual(self.text(self.model / "model.safetensors", "--greedy"), want)
        self.assertEqual(self.text(self.model / "config.json", "--greedy"), want)
        home = self.work / "hub-home"
        entry = home / "hub" / "models--org--tiny"
        snapshot = entry / "snapshots" / "abc123"
        snapshot.parent.mkdir(parents=True)
        blobs = entry / "blobs"
        blobs.mkdir()
        snapshot.mkdir()
        for file in self.model.iterdir():
            shutil.copy(file, blobs / file.name)
            (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
        (entry / "snapshots" / "older").mkdir()
        (entry / "refs").mkdir()
        (entry / "refs" / "main").write_text("abc123\n")
        for model in (entry, snapshot, f"{entry}/"):
            self.assertEqual(self.text(model, "--greedy"), want)
        old = dict(os.environ)
        try:
            os.environ["HF_HOME"] = str(home)
            os.environ.pop("HF_HUB_CACHE", None)
            os.environ.pop("HUGGINGFACE_HUB_CACHE", None)
            self.assertEqual(self.text("org/tiny", "--greedy"), want)
            self.assertIn(b"llama", self.run_ok("inspect", "org/tiny").stdout)
            self.fails(NOT_FOUND, "org/none: no such file or directory, and no models--org--none in .*hub-home/hub; "
                       "nothing is downloaded here", "pack", "org/none", "-o", self.work / "x")
            (entry / "refs" / "main").unlink()
            self.fails(NOT_FOUND, "2 snapshots, and refs/main names none", "pack", "org/tiny", "-o", self.work / "x")
        finally:
            os.environ.clear()
            os.environ.update(old)

    def test_files_that_are_something_else(self):
        target = self.pack("already.ingot")
        self.fails(FAILED, "already.ingot: is an Ingot artifact already", "pack", target, "-o", self.work / "x")
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 123456\n"
        folder = self.folder("lfs", files={"model.safetensors": pointer}, weights=None)
        self.fails(CORRUPT, "model.safetensors: is a Git LFS pointer, not the file itself of 123456 bytes.*git lfs pull",
                   "pack", folder, "-o", self.work / "x")
        folder = self.folder("lfs", files={"tokenizer.json": pointer})
        self.fails(CORRUPT, "tokenizer.json: is a Git LFS pointer", "pack", folder, "-o", self.work / "x")
        adapter = self.work / "adapter"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
        (adapter / "adapter_model.safetensors").write_bytes(b"")
        self.fails(FAILED, "adapter: is a LoRA adapter .*merge it into 'org/base' first", "pack", adapter, "-o",
                   self.work / "x")
        lone = self.work / "lone"
        lone.mkdir()
        tiny_model.write_safetensors(lone / "model.safetensors", tiny_model.tensors())
        error = self.fails(NOT_FOUND, "no config.json", "pack", lone / "model.safetensors", "-o", self.work / "x")
        self.assertNotIn("GGUF", error)

    def test_keys_that_are_not_known(self):
        folder = self.folder("keys", config=dict(tiny_model.config(), frobnicate=3, attn_logit_softcapping=2.0,
                                                 attention_dropout=0.1, partial_rotary_factor=0.5))
        said = self.same_text(folder)
        self.assertIn("ingot: warning: config.json: 'attn_logit_softcapping', 'frobnicate' say nothing that is known "
                      "of a 'llama', and are ignored\n", said)
        self.assertIn(b"ignored: config.json: ", self.run_ok("inspect", folder).stdout)
        folder = self.folder("keys", config=dict(tiny_model.config(), is_causal=False))
        self.fails(FAILED, "'is_causal' is false", "pack", folder, "-o", self.work / "x")
        self.fails(FAILED, "'is_causal' is false", "run", folder, "-p", "a")


if __name__ == "__main__":
    unittest.main()
