#!/usr/bin/env python3
"""Makes tests/fixtures/models/<name>/: tiny random models of every LLaMA-family member with the logits
that transformers computes for them in float32.

usage: make_forward_fixtures.py OUT [NAME...]

Each folder gets config.json, model.safetensors, ids.txt and logits.bin (float32, ids x vocabulary).
The sequences are longer than every sliding window and rope switch in them. Needs torch and
transformers (any version that has the families); the fixtures are committed, so tests need neither.
"""
import json
import pathlib
import sys

import torch
import transformers

COMMON = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
              num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
              bos_token_id=1, eos_token_id=2, pad_token_id=0)
LENGTH = 90

HALF_LONG = [1.0 + 0.1 * i for i in range(4)]
HALF_LONGER = [2.0 + 1.5 * i for i in range(4)]

# name: (config class, overrides)
MODELS = {
    "llama": ("LlamaConfig", {}),
    "llama-odd": ("LlamaConfig", dict(num_attention_heads=3, num_key_value_heads=1, head_dim=10,
                                      hidden_size=30, num_hidden_layers=3)),
    "llama-bias-tied": ("LlamaConfig", dict(attention_bias=True, mlp_bias=True,
                                            tie_word_embeddings=True)),
    "llama-linear": ("LlamaConfig", dict(rope_scaling=dict(rope_type="linear", factor=4.0))),
    "llama-dynamic": ("LlamaConfig", dict(max_position_embeddings=32, rope_scaling=dict(
        rope_type="dynamic", factor=2.0))),
    "llama-yarn": ("LlamaConfig", dict(rope_scaling=dict(
        rope_type="yarn", factor=4.0, original_max_position_embeddings=32))),
    "llama-llama3": ("LlamaConfig", dict(rope_scaling=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32))),
    "mistral-window": ("MistralConfig", dict(sliding_window=24)),
    "qwen2": ("Qwen2Config", {}),
    "qwen2-window": ("Qwen2Config", dict(use_sliding_window=True, sliding_window=20,
                                         max_window_layers=1, num_hidden_layers=3)),
    "qwen3": ("Qwen3Config", dict(head_dim=16)),
    "phi3": ("Phi3Config", dict(sliding_window=40)),
    "phi3-longrope": ("Phi3Config", dict(
        max_position_embeddings=128, original_max_position_embeddings=48, sliding_window=None,
        rope_scaling=dict(type="longrope", short_factor=HALF_LONG, long_factor=HALF_LONGER))),
    "gemma": ("GemmaConfig", dict(head_dim=16, num_key_value_heads=1)),
    "gemma2": ("Gemma2Config", dict(head_dim=16, sliding_window=16, query_pre_attn_scalar=24,
                                    attn_logit_softcapping=2.0, final_logit_softcapping=6.0)),
    "gemma3": ("Gemma3TextConfig", dict(head_dim=16, sliding_window=16, num_hidden_layers=3,
                                        query_pre_attn_scalar=24, layer_types=[
                                            "sliding_attention", "full_attention",
                                            "sliding_attention"])),
    "mixtral": ("MixtralConfig", dict(num_local_experts=4, num_experts_per_tok=2,
                                      intermediate_size=24)),
}


def randomize(model: torch.nn.Module) -> None:
    """Weights of a size that makes logits and attention uneven; norms near one."""
    for name, p in model.named_parameters():
        if "norm" in name:
            gemma = "Gemma" in type(model).__name__
            p.data = torch.randn_like(p) * 0.1 + (0.0 if gemma else 1.0)
        elif name.endswith("bias"):
            p.data = torch.randn_like(p) * 0.2
        else:
            p.data = torch.randn_like(p) * (2.0 / p.shape[-1] ** 0.5)


def write(folder: pathlib.Path, ids: torch.Tensor, logits: torch.Tensor, save) -> None:
    """The files of a fixture: what `save` puts into the folder, its config made canonical, ids and logits."""
    folder.mkdir(parents=True, exist_ok=True)
    save(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "ids.txt").write_text(" ".join(str(i) for i in ids.tolist()) + "\n")
    (folder / "logits.bin").write_bytes(logits.numpy().tobytes())
    config_json = json.loads((folder / "config.json").read_text())
    config_json.pop("transformers_version", None)
    (folder / "config.json").write_text(json.dumps(config_json, indent=1, sort_keys=True) + "\n")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{folder.name:20} {size:7} bytes, |logits| <= {logits.abs().max():.2f}", flush=True)


def make(name: str, out: pathlib.Path) -> None:
    config_class, overrides = MODELS[name]
    config = getattr(transformers, config_class)(**{**COMMON, **overrides})
    torch.manual_seed(sum(map(ord, name)))
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    randomize(model)
    model.tie_weights()
    model = model.float().eval()
    ids = torch.randint(3, COMMON["vocab_size"], (1, LENGTH))
    ids[0, 0] = 1
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[0].float()
    write(out / name, ids[0], logits, model.save_pretrained)


def main(make, models, usage: str) -> int:
    if len(sys.argv) < 2:
        print(usage.strip(), file=sys.stderr)
        return 2
    transformers.logging.set_verbosity_error()
    for name in sys.argv[2:] or models:
        make(name, pathlib.Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(make, MODELS, __doc__))
