#!/usr/bin/env python3
"""Makes tests/fixtures/models/rwkv*/: tiny random RWKV models of every version with the logits of
their reference.

usage: make_rwkv_fixtures.py OUT [NAME...]

Each folder gets model.pth (the original project's names, made by torch.save, no config.json) or
model.safetensors and config.json (Hugging Face layouts), ids.txt and logits.bin (float32, ids x
vocabulary). The reference is written here from the papers' formulas in float64 NumPy, a token at a
time; every .pth is also run by the `rwkv` package (CPU, float32), version 4 in Hugging Face layout
by transformers, and the two must agree within 1e-4. Needs torch, transformers, safetensors and
rwkv; the fixtures are committed, so tests need none of them.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch

LENGTH = 40
VOCAB = 61

# name: version, hidden, inner, heads, ffn, layers, layout
MODELS = {
    "rwkv4-pth": dict(version="4", hidden=36, ffn=52, layers=2),
    "rwkv4-hf": dict(version="4", hidden=28, inner=44, ffn=60, layers=2, layout="hf"),
    "rwkv50-pth": dict(version="5.0", hidden=36, heads=3, ffn=44, layers=2),
    "rwkv51-pth": dict(version="5.1", hidden=30, heads=5, ffn=44, layers=2),
    "rwkv52-pth": dict(version="5.2", hidden=36, heads=3, ffn=52, layers=2),
    "rwkv52-hf": dict(version="5.2", hidden=30, heads=3, ffn=36, layers=2, layout="hf"),
    "rwkv6-pth": dict(version="6", hidden=36, heads=3, ffn=44, layers=2),
    "rwkv6-hf": dict(version="6", hidden=30, heads=5, ffn=36, layers=2, layout="hf"),
    "rwkv7-pth": dict(version="7", hidden=36, heads=3, ffn=60, layers=3),
    # With a vocabulary, for the command line: every byte, and a few words.
    "rwkv7-world": dict(version="7", hidden=24, heads=2, ffn=32, layers=2, vocab=264,
                        words=[" the", "ing", "\n\n", " \u4e16\u754c"]),
    "rwkv7-fla": dict(version="7", hidden=40, heads=5, ffn=64, layers=2, layout="fla"),
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def norm(x, w, b, eps=1e-5):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * w + b


def random_tensors(m, rng):
    """The original project's tensors; sizes that make decays, gates and shares uneven."""
    d, inner, ffn, heads = m["hidden"], m.get("inner", m["hidden"]), m["ffn"], m.get("heads")
    version = m["version"]
    size = inner // heads if heads else 1
    z = {}

    def put(name, *shape, scale=1.0, mean=0.0):
        z[name] = (rng.standard_normal(shape) * scale + mean).astype(np.float32)

    def matrix(name, rows, cols):
        put(name, rows, cols, scale=1.5 / cols ** 0.5)

    def share(name, *shape):
        z[name] = rng.uniform(0, 1, shape).astype(np.float32)

    def layer_norm(name, width):
        put(name + ".weight", width, scale=0.1, mean=1)
        put(name + ".bias", width, scale=0.1)

    put("emb.weight", m.get("vocab", VOCAB), d)
    for i in range(m["layers"]):
        b = f"blocks.{i}."
        if i == 0:
            layer_norm(b + "ln0", d)
        layer_norm(b + "ln1", d)
        layer_norm(b + "ln2", d)
        att, cm = b + "att.", b + "ffn."
        for p in ("receptance", "key", "value"):
            matrix(att + p + ".weight", inner, d)
        matrix(att + "output.weight", d, inner)
        matrix(cm + "key.weight", ffn, d)
        matrix(cm + "value.weight", d, ffn)
        if version != "4":
            layer_norm(att + "ln_x", inner)
        if version[0] in "456":
            matrix(cm + "receptance.weight", d, d)
        if version[0] in "45":
            for p in "kvr" + ("g" if version in ("5.1", "5.2") else ""):
                share(att + "time_mix_" + p, 1, 1, d)
            for p in "kr":
                share(cm + "time_mix_" + p, 1, 1, d)
        if version == "4":
            put(att + "time_decay", inner, scale=1.5, mean=-1)
            put(att + "time_first", inner)
        elif version in ("5.0", "5.1"):
            put(att + "time_decay", heads, scale=1.5, mean=-1)
            put(att + "time_first", heads)
        elif version == "5.2":
            put(att + "time_decay", heads, size, scale=1.5, mean=-1)
            put(att + "time_faaaa", heads, size)
        if version in ("5.1", "5.2", "6"):
            matrix(att + "gate.weight", inner, d)
        if version == "6":
            rank, decay_rank = 6, 10
            for p in "xwkvrg":
                share(att + "time_maa_" + p, 1, 1, d)
            for p in "kr":
                share(cm + "time_maa_" + p, 1, 1, d)
            put(att + "time_maa_w1", d, 5 * rank, scale=0.2)
            put(att + "time_maa_w2", 5, rank, d, scale=0.2)
            put(att + "time_decay", 1, 1, inner, scale=1.2, mean=-1)
            put(att + "time_decay_w1", d, decay_rank, scale=0.3)
            put(att + "time_decay_w2", decay_rank, inner, scale=0.3)
            put(att + "time_faaaa", heads, size)
        if version == "7":
            for p in "rwkvag":
                share(att + "x_" + p, 1, 1, d)
            share(cm + "x_k", 1, 1, d)
            for p, rank in (("w", 7), ("a", 5), ("v", 4), ("g", 9)):
                if p == "v" and i == 0 and m.get("layout") == "fla":
                    continue
                put(att + p + "1", d, rank, scale=0.3)
                put(att + p + "2", rank, inner, scale=0.4)
                if p != "g":
                    put(att + p + "0", 1, 1, inner)
            put(att + "k_k", 1, 1, inner, scale=0.3, mean=0.8)
            put(att + "k_a", 1, 1, inner, scale=0.3, mean=1)
            put(att + "r_k", heads, size, scale=0.3)
    layer_norm("ln_out", d)
    matrix("head.weight", m.get("vocab", VOCAB), d)
    return z


class Reference:
    """A token at a time, in float64."""

    def __init__(self, m, z):
        self.m, self.version = m, m["version"]
        self.z = {k: v.astype(np.float64) for k, v in z.items()}
        self.inner = m.get("inner", m["hidden"])
        self.heads = m.get("heads")
        self.before = {}
        self.state = {}

    def shifted(self, key, x):
        before = self.before.get(key, np.zeros_like(x))
        self.before[key] = x
        return before

    def get(self, name):
        return self.z[name].squeeze()

    def time_mix4(self, i, x, before):
        p = f"blocks.{i}.att."
        mix = lambda n: x * self.get(p + n) + before * (1 - self.get(p + n))
        r = self.z[p + "receptance.weight"] @ mix("time_mix_r")
        k = self.z[p + "key.weight"] @ mix("time_mix_k")
        v = self.z[p + "value.weight"] @ mix("time_mix_v")
        a, b = self.state.get(i, (0, 0))
        now = np.exp(self.get(p + "time_first") + k)
        y = (a + now * v) / (b + now)
        decay = np.exp(-np.exp(self.get(p + "time_decay")))
        self.state[i] = (decay * a + np.exp(k) * v, decay * b + np.exp(k))
        return sigmoid(r) * y

    def time_mix56(self, i, x, before):
        p, heads, size = f"blocks.{i}.att.", self.heads, self.inner // self.heads
        if self.version == "6":
            first = x + (before - x) * self.get(p + "time_maa_x")
            low = np.tanh(first @ self.z[p + "time_maa_w1"]).reshape(5, -1)
            extra = {n: low[j] @ self.z[p + "time_maa_w2"][j] for j, n in enumerate("wkvrg")}
            mix = lambda n: x + (before - x) * (self.get(p + "time_maa_" + n) + extra[n])
            decay = self.get(p + "time_decay") + np.tanh(
                mix("w") @ self.z[p + "time_decay_w1"]) @ self.z[p + "time_decay_w2"]
            decay = np.exp(-np.exp(decay)).reshape(heads, size, 1)
        else:
            mix = lambda n: (x * self.get(p + "time_mix_" + n) +
                             before * (1 - self.get(p + "time_mix_" + n)))
            decay = np.exp(-np.exp(self.z[p + "time_decay"])).reshape(heads, -1, 1)
        if p + "time_faaaa" in self.z:
            bonus = self.z[p + "time_faaaa"].reshape(heads, -1, 1)
        else:
            bonus = np.exp(self.z[p + "time_first"]).reshape(heads, -1, 1)
        r = (self.z[p + "receptance.weight"] @ mix("r")).reshape(heads, 1, size)
        k = (self.z[p + "key.weight"] @ mix("k")).reshape(heads, size, 1)
        v = (self.z[p + "value.weight"] @ mix("v")).reshape(heads, 1, size)
        state = self.state.get(i, np.zeros((heads, size, size)))
        y = (r @ (state + bonus * (k @ v))).reshape(heads, size)
        self.state[i] = decay * state + k @ v
        y = norm(y, self.z[p + "ln_x.weight"].reshape(heads, size),
                 self.z[p + "ln_x.bias"].reshape(heads, size), self.head_eps()).reshape(-1)
        if p + "gate.weight" in self.z:
            g = self.z[p + "gate.weight"] @ mix("g")
            y = y * g * sigmoid(g)
        return y

    def head_eps(self):
        if self.m.get("layout") == "fla":
            return self.inner // self.heads * 1e-5
        # The Hugging Face port of version 5 does not divide by 8 before the norm.
        return 1e-5 if self.m.get("layout") == "hf" and self.version == "5.2" else 64e-5

    def time_mix7(self, i, x, before):
        p, heads, size = f"blocks.{i}.att.", self.heads, self.inner // self.heads
        mix = lambda n: x + (before - x) * self.get(p + "x_" + n)
        low = lambda n, f: f(mix(n) @ self.z[p + n + "1"]) @ self.z[p + n + "2"]
        same = lambda t: t
        r = self.z[p + "receptance.weight"] @ mix("r")
        k = self.z[p + "key.weight"] @ mix("k")
        v = self.z[p + "value.weight"] @ mix("v")
        decay = np.exp(-np.exp(-0.5) * sigmoid(self.get(p + "w0") + low("w", np.tanh)))
        rate = sigmoid(self.get(p + "a0") + low("a", same))
        gate = low("g", sigmoid)
        if i == 0:
            self.first_value = v
        else:
            v = v + (self.first_value - v) * sigmoid(self.get(p + "v0") + low("v", same))
        kk = (k * self.get(p + "k_k")).reshape(heads, size)
        kk = kk / np.maximum(np.sqrt((kk ** 2).sum(-1, keepdims=True)), 1e-12)
        k = k * (1 + (rate - 1) * self.get(p + "k_a"))
        r, k, v, decay, rate = (t.reshape(heads, size) for t in (r, k, v, decay, rate))
        state = self.state.get(i, np.zeros((heads, size, size)))  # values x keys
        removed = np.einsum("hij,hj->hi", state, kk)
        state = (state * decay[:, None, :] - removed[:, :, None] * (kk * rate)[:, None, :] +
                 v[:, :, None] * k[:, None, :])
        self.state[i] = state
        y = np.einsum("hij,hj->hi", state, r)
        y = norm(y, self.z[p + "ln_x.weight"].reshape(heads, size),
                 self.z[p + "ln_x.bias"].reshape(heads, size), self.head_eps())
        y = y + (r * k * self.z[p + "r_k"].reshape(heads, size)).sum(-1, keepdims=True) * v
        return y.reshape(-1) * gate

    def channel_mix(self, i, x, before):
        p = f"blocks.{i}.ffn."
        if self.version == "7":
            k = x + (before - x) * self.get(p + "x_k")
            return self.z[p + "value.weight"] @ np.maximum(self.z[p + "key.weight"] @ k, 0) ** 2
        if self.version == "6":
            mix = lambda n: x + (before - x) * self.get(p + "time_maa_" + n)
        else:
            mix = lambda n: (x * self.get(p + "time_mix_" + n) +
                             before * (1 - self.get(p + "time_mix_" + n)))
        k = np.maximum(self.z[p + "key.weight"] @ mix("k"), 0) ** 2
        return sigmoid(self.z[p + "receptance.weight"] @ mix("r")) * (
            self.z[p + "value.weight"] @ k)

    def step(self, token):
        z = self.z
        x = norm(z["emb.weight"][token], z["blocks.0.ln0.weight"], z["blocks.0.ln0.bias"])
        time_mix = {"4": self.time_mix4, "7": self.time_mix7}.get(self.version, self.time_mix56)
        for i in range(self.m["layers"]):
            b = f"blocks.{i}."
            xx = norm(x, z[b + "ln1.weight"], z[b + "ln1.bias"])
            x = x + z[b + "att.output.weight"] @ time_mix(i, xx, self.shifted((i, "att"), xx))
            xx = norm(x, z[b + "ln2.weight"], z[b + "ln2.bias"])
            x = x + self.channel_mix(i, xx, self.shifted((i, "ffn"), xx))
        return z["head.weight"] @ norm(x, z["ln_out.weight"], z["ln_out.bias"])


RUN_PACKAGE = """
import sys, numpy as np
ids = [int(i) for i in open(sys.argv[2]).read().split()]
import torch
from rwkv.model import RWKV
model = RWKV(model=sys.argv[1], strategy='cpu fp32')
out, _ = model.forward(ids, None, full_output=True)
state, one = None, []
for i in ids:
    logits, state = model.forward([i], state)
    one.append(logits.float().numpy())
np.save(sys.argv[3], np.stack([out.float().numpy(), np.stack(one)]))
"""


def package_logits(path, version, ids):
    env = dict(os.environ, RWKV_JIT_ON="0", RWKV_V7_ON="1" if version == "7" else "0")
    with tempfile.TemporaryDirectory() as tmp:
        (pathlib.Path(tmp) / "ids").write_text(" ".join(map(str, ids)))
        subprocess.run([sys.executable, "-c", RUN_PACKAGE, str(path)[:-len(".pth")],
                        tmp + "/ids", tmp + "/out.npy"], env=env, check=True,
                       stdout=subprocess.DEVNULL)
        return np.load(tmp + "/out.npy")


def transformers_logits(folder, ids):
    import transformers
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].numpy()


def hf_names(m, z):
    """transformers' names for version 4, the ports' for 5 and 6."""
    long = {"k": "key", "v": "value", "r": "receptance", "g": "gate"}
    out = {}
    for name, t in z.items():
        if name.startswith("emb."):
            name = "rwkv.embeddings.weight"
        elif name.startswith(("blocks.", "ln_out.")):
            name = "rwkv." + name
        name = (name.replace(".ln0.", ".pre_ln.").replace(".att.", ".attention.")
                .replace(".ffn.", ".feed_forward."))
        stem, _, last = name.rpartition("time_mix_")
        if stem:
            name = stem + "time_mix_" + long[last]
        out[name] = t
    config = dict(model_type={"4": "rwkv", "5": "rwkv5", "6": "rwkv6"}[m["version"][0]],
                  vocab_size=VOCAB, hidden_size=m["hidden"], num_hidden_layers=m["layers"],
                  attention_hidden_size=m.get("inner", m["hidden"]), intermediate_size=m["ffn"],
                  layer_norm_epsilon=1e-5, context_length=1024, rescale_every=6,
                  tie_word_embeddings=False, bos_token_id=0, eos_token_id=0)
    if m["version"] != "4":
        config.update(head_size=m["hidden"] // m["heads"])
        # As the ports' configs leave it: null, to be taken from the tensors.
        config.update(intermediate_size=None)
    else:
        config.update(architectures=["RwkvForCausalLM"])
    if m["version"] == "6":
        config.update(head_size_divisor=8)
    return out, config


def fla_names(m, z):
    parts = {"ln0": "pre_norm", "ln1": "attn_norm", "ln2": "ffn_norm", "att": "attn", "ffn": "ffn"}
    proj = {"receptance": "r_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj",
            "ln_x": "g_norm"}
    whole = {"emb.weight": "model.embeddings.weight", "head.weight": "lm_head.weight",
             "ln_out.weight": "model.norm.weight", "ln_out.bias": "model.norm.bias"}
    out = {}
    for name, t in z.items():
        if name in whole:
            out[whole[name]] = t
            continue
        _, layer, part, *rest = name.split(".")
        last = rest[0]
        if part == "att" and last in proj:
            rest[0] = proj[last]
        elif len(last) == 2 and last[0] in "wavg" and last[1] in "012":
            tail = {"0": "2.bias", "1": "0.weight", "2": "2.weight"}[last[1]]
            rest = [last[0] + "_lora.lora", tail]
            t = t.reshape(-1) if last[1] == "0" else np.ascontiguousarray(t.T)
        elif last in ("k_k", "k_a") or (part == "ffn" and last == "x_k"):
            t = t.reshape(-1)
        out[".".join(["model.layers", layer, parts[part], *rest])] = t
    config = dict(model_type="rwkv7", vocab_size=VOCAB, hidden_size=m["hidden"],
                  num_hidden_layers=m["layers"], head_dim=m["hidden"] // m["heads"], num_heads=None,
                  intermediate_size=m["ffn"], hidden_act="sqrelu", norm_eps=1e-5, norm_first=True,
                  norm_bias=True, decay_low_rank_dim=7, a_low_rank_dim=5, v_low_rank_dim=4,
                  gate_low_rank_dim=9, attn=None, max_position_embeddings=2048,
                  tie_word_embeddings=False)
    return out, config


def make(name, out):
    m = MODELS[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    z = random_tensors(m, rng)
    ids = [int(i) for i in rng.integers(0, m.get("vocab", VOCAB), LENGTH)]
    reference = Reference(m, z)
    logits = np.stack([reference.step(i) for i in ids])
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    largest = np.abs(logits).max()
    agreed = "-"
    if m.get("layout") is None:

        torch.save({k: torch.from_numpy(v) for k, v in z.items()}, folder / "model.pth")
        others = package_logits(folder / "model.pth", m["version"], ids)
        agreed = max(np.abs(o - logits).max() for o in others) / largest
        assert agreed < 1e-4, (name, agreed)
    else:
        from safetensors.numpy import save_file
        tensors, config = (fla_names if m["layout"] == "fla" else hf_names)(m, z)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
        if m["version"] == "4":
            agreed = np.abs(transformers_logits(folder, ids) - logits).max() / largest
            assert agreed < 1e-4, (name, agreed)
    if "words" in m:
        tokens = [bytes([b]) for b in range(256)] + [word.encode() for word in m["words"]]
        (folder / "rwkv_vocab_tiny.txt").write_text("".join(
            f"{i + 1} {token!r} {len(token)}\n" for i, token in enumerate(tokens)))
    (folder / "ids.txt").write_text(" ".join(map(str, ids)) + "\n")
    (folder / "logits.bin").write_bytes(logits.astype(np.float32).tobytes())
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name:12} {size:7} bytes, |logits| <= {largest:.2f}, second reference {agreed}")


def main():
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    for name in sys.argv[2:] or MODELS:
        make(name, pathlib.Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
