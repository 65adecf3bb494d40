#!/usr/bin/env python3
"""Makes tests/fixtures/models/<name>/: tiny random state-space, retention and hybrid models with
the logits of their reference in float32.

usage: make_recurrent_fixtures.py OUT [NAME...]

Each folder gets config.json, model.safetensors, ids.txt and logits.bin (float32, ids x vocabulary).
Mamba, Mamba-2, FalconMamba, Jamba and Bamba come from transformers' plain PyTorch implementation.
RetNet's reference is here, written from its paper (arXiv 2307.08621) with the tensor names of its
public Hugging Face port: the parallel form with the paper's scalings, checked against the recurrent
form without them, in double precision. Needs torch, transformers and safetensors; the fixtures are
committed, so tests need none of them.
"""
import json
import math
import pathlib
import sys

import safetensors.torch
import torch
import transformers

import make_forward_fixtures as forward

VOCAB = 96
LENGTH = 90

MAMBA = dict(vocab_size=VOCAB, num_hidden_layers=2, pad_token_id=0, bos_token_id=1, eos_token_id=2)
HYBRID = dict(vocab_size=VOCAB, hidden_size=24, intermediate_size=20, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0, bos_token_id=1,
              eos_token_id=2)

# name: (config class, overrides)
MODELS = {
    # Sizes that are no multiple of a vector; ranks, states and kernels that are odd.
    "mamba": ("MambaConfig", dict(hidden_size=27, state_size=5, conv_kernel=3, time_step_rank=3)),
    "mamba-bias-untied": ("MambaConfig", dict(
        hidden_size=20, state_size=16, expand=3, use_bias=True, use_conv_bias=False,
        time_step_rank="auto", tie_word_embeddings=False)),
    "falcon-mamba": ("FalconMambaConfig", dict(hidden_size=24, state_size=8, time_step_rank=4)),
    "mamba2": ("Mamba2Config", dict(hidden_size=27, num_heads=6, head_dim=9, n_groups=3,
                                    state_size=7, chunk_size=16, use_bias=True)),
    "mamba2-limits-tied": ("Mamba2Config", dict(
        hidden_size=20, num_heads=2, head_dim=20, n_groups=1, state_size=16, conv_kernel=2,
        chunk_size=16, time_step_limit=(0.3, 0.9), tie_word_embeddings=True)),
    "jamba": ("JambaConfig", dict(
        **HYBRID, num_hidden_layers=4, attn_layer_period=3, attn_layer_offset=1,
        expert_layer_period=2, expert_layer_offset=1, num_experts=3, num_experts_per_tok=2,
        mamba_d_state=6, mamba_d_conv=3, mamba_dt_rank=5, mamba_proj_bias=True)),
    "bamba": ("BambaConfig", dict(
        **{**HYBRID, "hidden_size": 32}, num_hidden_layers=3, attn_layer_indices=[1],
        mamba_n_heads=4, mamba_d_head=16,
        mamba_n_groups=2, mamba_d_state=9, mamba_d_conv=4, mamba_chunk_size=16)),
    "retnet": ("RetNet", dict(decoder_embed_dim=30, decoder_value_embed_dim=57,
                              decoder_ffn_embed_dim=40, decoder_retention_heads=3,
                              decoder_layers=3)),
    "retnet-plain-mlp": ("RetNet", dict(
        decoder_embed_dim=24, decoder_value_embed_dim=40, decoder_ffn_embed_dim=33,
        decoder_retention_heads=2, decoder_layers=2, use_glu=False, use_lm_decay=True,
        layernorm_embedding=True, no_scale_embedding=False, tie_word_embeddings=True)),
}


def random_like(name: str, p: torch.Tensor) -> torch.Tensor:
    """Weights of a size that makes logits, steps and decays uneven; norms near one."""
    if name.endswith("A_log"):
        return torch.rand(p.shape) * 3 - 2
    if name.endswith((".dt_proj.bias", ".dt_bias")):
        return torch.randn(p.shape) - 0.5
    if name.endswith(".D") or (p.dim() == 1 and "norm" in name and not name.endswith("bias")):
        return torch.randn(p.shape) * 0.2 + 1
    if name.endswith("bias"):
        return torch.randn(p.shape) * 0.2
    if "conv1d" in name:
        return torch.randn(p.shape) * 0.6
    return torch.randn(p.shape) * (1.5 / p.shape[-1] ** 0.5)


class RetNet:
    """The model of the paper, section 2, over tensors by name."""

    DEFAULTS = dict(model_type="retnet", vocab_size=VOCAB, activation_fn="gelu", use_glu=True,
                    subln=True, deepnorm=False, decoder_normalize_before=True, use_lm_decay=False,
                    layernorm_embedding=False, no_scale_embedding=True, layernorm_eps=1e-6,
                    tie_word_embeddings=False, pad_token_id=0, eos_token_id=2)

    def __init__(self, overrides: dict):
        self.config = {**self.DEFAULTS, **overrides}
        c = self.config
        self.heads = c["decoder_retention_heads"]
        self.key_dim = c["decoder_embed_dim"] // self.heads
        self.value_dim = c["decoder_value_embed_dim"] // self.heads
        self.weights = {}
        for name, shape in self.shapes().items():
            self.weights[name] = random_like(name, torch.empty(shape))

    def shapes(self) -> dict:
        c = self.config
        width, values, inner = (c["decoder_embed_dim"], c["decoder_value_embed_dim"],
                                c["decoder_ffn_embed_dim"])
        shapes = {"model.embed_tokens.weight": (VOCAB, width), "model.layer_norm.weight": (width,)}
        if c["layernorm_embedding"]:
            shapes["model.layernorm_embedding.weight"] = (width,)
        if not c["tie_word_embeddings"]:
            shapes["lm_head.weight"] = (VOCAB, width)
        for i in range(c["decoder_layers"]):
            layer = f"model.layers.{i}."
            for norm in ("retention_layer_norm", "final_layer_norm"):
                shapes[layer + norm + ".weight"] = (width,)
            for name, rows in (("q", width), ("k", width), ("v", values), ("g", values)):
                shapes[f"{layer}retention.{name}_proj.weight"] = (rows, width)
            shapes[layer + "retention.out_proj.weight"] = (width, values)
            shapes[layer + "ffn.fc1.weight"] = (inner, width)
            shapes[layer + "ffn.fc2.weight"] = (width, inner)
            if c["use_glu"]:
                shapes[layer + "ffn.gate.weight"] = (inner, width)
                continue
            shapes[layer + "ffn.fc1.bias"] = (inner,)
            shapes[layer + "ffn.fc2.bias"] = (width,)
            for name in ("weight", "bias"):
                shapes[f"{layer}ffn.ffn_layernorm.{name}"] = (inner,)
        # Buffers that the port's checkpoints carry.
        shapes["model.retnet_rel_pos.angle"] = (self.key_dim,)
        shapes["model.retnet_rel_pos.decay"] = (self.heads,)
        return shapes

    def rms(self, x, name=None):
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config["layernorm_eps"])
        return y if name is None else y * self.w(name)

    def w(self, name):
        return self.weights[name].to(self.dtype)

    def decays(self):
        if self.config["use_lm_decay"]:
            ends = torch.linspace(math.log(1 / 32), math.log(1 / 512), self.heads)
            return (1 - ends.exp()).to(self.dtype)
        return 1 - 2.0 ** (-5 - torch.arange(self.heads, dtype=self.dtype))

    def rotate(self, x):
        """x: heads x tokens x key_dim; pairs (2i, 2i + 1) turn by position * angle i."""
        angle = 1.0 / 10000 ** torch.linspace(0, 1, self.key_dim // 2)
        turn = torch.arange(x.shape[1])[:, None] * angle.to(self.dtype)
        even, odd = x[..., ::2], x[..., 1::2]
        cos, sin = turn.cos(), turn.sin()
        return torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)

    def retain_parallel(self, q, k, v):
        """Equation 5, with the three scalings of section 2.2."""
        n = q.shape[1]
        distance = torch.arange(n)[:, None] - torch.arange(n)[None, :]
        mask = self.decays()[:, None, None] ** distance.clamp(min=0) * (distance >= 0)
        mask = mask / mask.sum(-1, keepdim=True).sqrt()
        scores = q @ k.transpose(1, 2) * mask
        scores = scores / scores.sum(-1, keepdim=True).abs().clamp(min=1)
        return scores @ v

    def retain_recurrent(self, q, k, v):
        """Equation 6."""
        state = torch.zeros(self.heads, self.key_dim, self.value_dim, dtype=self.dtype)
        out = []
        for t in range(q.shape[1]):
            state = self.decays()[:, None, None] * state + k[:, t, :, None] * v[:, t, None, :]
            out.append((q[:, t, None, :] @ state)[:, 0])
        return torch.stack(out, 1)

    def retention(self, x, name, retain):
        q, k, v, g = (x @ self.w(f"{name}.{p}_proj.weight").T for p in "qkvg")
        q, k, v = (y.view(x.shape[0], self.heads, -1).transpose(0, 1) for y in (q, k, v))
        y = retain(self.rotate(q), self.rotate(k * self.key_dim ** -0.5), v)
        y = self.rms(y.transpose(0, 1)).flatten(1)
        return (torch.nn.functional.silu(g) * y) @ self.w(name + ".out_proj.weight").T

    def mlp(self, x, name):
        act = torch.nn.functional.gelu
        up, down = self.w(name + ".fc1.weight"), self.w(name + ".fc2.weight")
        if self.config["use_glu"]:
            return (act(x @ up.T) * (x @ self.w(name + ".gate.weight").T)) @ down.T
        y = act(x @ up.T + self.w(name + ".fc1.bias"))
        y = torch.nn.functional.layer_norm(
            y, y.shape[-1:], self.w(name + ".ffn_layernorm.weight"),
            self.w(name + ".ffn_layernorm.bias"), self.config["layernorm_eps"])
        return y @ down.T + self.w(name + ".fc2.bias")

    def logits(self, ids, retain, dtype):
        self.dtype = dtype
        c = self.config
        table = self.w("model.embed_tokens.weight")
        x = table[ids]
        if not c["no_scale_embedding"]:
            x = x * math.sqrt(c["decoder_embed_dim"])
        if c["layernorm_embedding"]:
            x = self.rms(x, "model.layernorm_embedding.weight")
        for i in range(c["decoder_layers"]):
            layer = f"model.layers.{i}."
            x = x + self.retention(self.rms(x, layer + "retention_layer_norm.weight"),
                                   layer + "retention", retain)
            x = x + self.mlp(self.rms(x, layer + "final_layer_norm.weight"), layer + "ffn")
        x = self.rms(x, "model.layer_norm.weight")
        return x @ (table if c["tie_word_embeddings"] else self.w("lm_head.weight")).T

    def run(self, ids):
        parallel = self.logits(ids, self.retain_parallel, torch.float64)
        recurrent = self.logits(ids, self.retain_recurrent, torch.float64)
        error = ((parallel - recurrent).abs().max() / parallel.abs().max()).item()
        assert error < 2e-5, f"parallel and recurrent forms differ by {error}"
        print(f"  parallel against recurrent form: {error:.1e}")
        return self.logits(ids, self.retain_parallel, torch.float32)

    def save(self, folder):
        safetensors.torch.save_file(self.weights, folder / "model.safetensors",
                                    metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(self.config))


def transformers_model(config_class: str, overrides: dict) -> torch.nn.Module:
    base = {} if "Jamba" in config_class or "Bamba" in config_class else MAMBA
    config = getattr(transformers, config_class)(**{**base, **overrides})
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for name, p in model.named_parameters():
        p.data = random_like(name, p)
    model.tie_weights()
    return model.float().eval()


def make(name: str, out: pathlib.Path) -> None:
    config_class, overrides = MODELS[name]
    torch.manual_seed(sum(map(ord, name)))
    retnet = config_class == "RetNet"
    model = RetNet(overrides) if retnet else transformers_model(config_class, overrides)
    ids = torch.randint(3, VOCAB, (LENGTH,))
    ids[0] = 1
    with torch.no_grad():
        logits = model.run(ids) if retnet else model(ids[None], use_cache=False).logits[0].float()
    forward.write(out / name, ids, logits, model.save if retnet else model.save_pretrained)


if __name__ == "__main__":
    sys.exit(forward.main(make, MODELS, __doc__))
