#!/usr/bin/env python3
"""Makes tests/fixtures/model/ from the reference implementations: rope tables (transformers),
dequantized GGUF blocks and a tiny GGUF model (gguf), SentencePiece merges (transformers).

usage: make_fixtures.py OUTPUT_DIRECTORY
needs: torch, transformers >= 5, gguf, safetensors, numpy. Never needed by the build or the tests.
"""
import json
import pathlib
import sys

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import save_file
from transformers import AutoConfig
from transformers.convert_slow_tokenizer import generate_merges

SIZES = dict(hidden_size=256, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, vocab_size=32, max_position_embeddings=4096)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=1024)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=1024)
SHORT = [1.0 + 0.05 * i for i in range(24)]
LONG = [1.0 + 1.5 * i for i in range(24)]
LONGROPE = dict(type="longrope", short_factor=SHORT, long_factor=LONG)

# name, config.json without the sizes; old keys and those of transformers 5.
ROPES = [
    ("llama_default", dict(model_type="llama", rope_theta=500000.0)),
    ("llama_default_new",
     dict(model_type="llama", rope_parameters=dict(rope_type="default", rope_theta=500000.0))),
    ("llama_no_theta", dict(model_type="llama")),
    ("llama_head_dim", dict(model_type="llama", head_dim=80)),
    ("llama_linear", dict(model_type="llama", rope_scaling=dict(type="linear", factor=2.5))),
    ("llama_dynamic", dict(model_type="llama", rope_scaling=dict(rope_type="dynamic", factor=2.0))),
    ("llama_llama3", dict(model_type="llama", rope_theta=500000.0, rope_scaling=LLAMA3)),
    ("llama_llama3_new",
     dict(model_type="llama", rope_parameters=dict(LLAMA3, rope_theta=500000.0))),
    ("qwen2_yarn", dict(model_type="qwen2", rope_theta=1e6, rope_scaling=YARN)),
    ("qwen3_yarn_new",
     dict(model_type="qwen3", head_dim=128, rope_parameters=dict(YARN, rope_theta=1e6))),
    ("llama_yarn_attention",
     dict(model_type="llama", rope_scaling=dict(YARN, attention_factor=0.75, beta_fast=16,
                                                beta_slow=2))),
    ("llama_yarn_mscale",
     dict(model_type="llama", rope_scaling=dict(YARN, mscale=0.7, mscale_all_dim=1.2))),
    ("llama_yarn_untruncated",
     dict(model_type="llama", rope_scaling=dict(YARN, truncate=False))),
    ("phi3_longrope",
     dict(model_type="phi3", original_max_position_embeddings=1024, partial_rotary_factor=0.75,
          rope_scaling=LONGROPE)),
    ("phi3_longrope_new",
     dict(model_type="phi3", original_max_position_embeddings=1024,
          rope_parameters=dict(rope_type="longrope", short_factor=SHORT, long_factor=LONG,
                               rope_theta=10000.0, partial_rotary_factor=0.75))),
    ("phi3_default", dict(model_type="phi3", original_max_position_embeddings=4096)),
    ("gemma3_old",
     dict(model_type="gemma3_text", num_hidden_layers=6, head_dim=64, rope_theta=1e6,
          rope_local_base_freq=10000.0,
          sliding_window=512, rope_scaling=dict(rope_type="linear", factor=8.0))),
    ("gemma3_new",
     dict(model_type="gemma3_text", head_dim=64, sliding_window=512,
          layer_types=["sliding_attention", "full_attention"],
          rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
                               sliding_attention=dict(rope_type="default", rope_theta=10000.0)))),
    ("granite_default", dict(model_type="granite", rope_theta=10000.0)),
    ("mistral_default", dict(model_type="mistral", rope_theta=1e6)),
    ("mixtral_default", dict(model_type="mixtral", rope_theta=1e6)),
]


def rotary_class(model_type):
    import importlib
    package = "gemma3" if model_type == "gemma3_text" else model_type
    module = importlib.import_module(f"transformers.models.{package}.modeling_{package}")
    names = [n for n in dir(module) if n.endswith("RotaryEmbedding")]
    return getattr(module, names[0])


def rope_cases():
    cases = []
    for name, extra in ROPES:
        raw = {**SIZES, **extra}
        config = AutoConfig.for_model(**json.loads(json.dumps(raw)))
        rotary = rotary_class(raw["model_type"])(config)
        if raw["model_type"] == "gemma3_text":
            ropes = [dict(inv_freq=getattr(rotary, f"{kind}_inv_freq").tolist(),
                          attention_factor=getattr(rotary, f"{kind}_attention_scaling"))
                     for kind in ("full_attention", "sliding_attention")]
        else:
            ropes = [dict(inv_freq=rotary.inv_freq.tolist(),
                          attention_factor=rotary.attention_scaling)]
            if "longrope" in name:
                rotary(torch.zeros(1, 2, 4), torch.tensor([[2000]]))  # past the trained length
                ropes[0]["long_inv_freq"] = rotary.inv_freq.tolist()
        cases.append(dict(name=name, config=raw, ropes=ropes))
    return cases


def quant_blocks(rng):
    """Random codes with sane scales, and what gguf makes of them (float32, hexadecimal)."""
    half_at = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0],
               Q.Q2_K: [80, 82], Q.Q3_K: [108], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
    result = {}
    for qtype, offsets in half_at.items():
        block_weights, block_bytes = gguf.GGML_QUANT_SIZES[qtype]
        count = 2 if block_weights == 256 else 8
        blocks = rng.integers(0, 256, (count, block_bytes), dtype=np.uint8)
        for offset in offsets:
            halves = rng.normal(0, 0.1, (count, 1)).astype(np.float16)
            blocks[:, offset:offset + 2] = halves.view(np.uint8)
        values = gguf.quants.dequantize(blocks.reshape(1, -1), qtype).astype(np.float32)
        result[qtype.name] = dict(blocks=blocks.tobytes().hex(), values=values.tobytes().hex())
    return result


def permute(weights, heads):
    """The row order that llama.cpp's converter gives q and k of LLaMA."""
    return (weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
            .swapaxes(1, 2).reshape(weights.shape))


def tiny_gguf(directory, rng):
    """A LLaMA of one layer as GGUF, and the tensors it stands for on Hugging Face."""
    hidden, heads, kv_heads, vocab = 32, 4, 2, 12
    head_dim = hidden // heads
    writer = gguf.GGUFWriter(directory / "tiny_llama.gguf", "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("llama")
    pieces = [("<unk>", 2, 0), ("<s>", 3, 0), ("</s>", 3, 0), ("<0x0A>", 6, 0), ("▁a", 1, -1),
              ("▁ab", 1, -2), ("ab", 1, -3), ("abc", 1, -4), ("▁", 1, -5), ("a", 1, -6),
              ("b", 1, -7), ("c", 1, -8)]
    writer.add_token_list([p for p, _, _ in pieces])
    writer.add_token_types([t for _, t, _ in pieces])
    writer.add_token_scores([float(s) for _, _, s in pieces])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    tensors = {}

    def add(name, hf_name, shape, qtype=Q.F16, heads_of_rows=0):
        weights = rng.normal(0, 0.2, shape).astype(np.float32)
        stored = permute(weights, heads_of_rows) if heads_of_rows else weights
        data = gguf.quants.quantize(stored, qtype)
        writer.add_tensor(name, data, raw_dtype=qtype)
        seen = gguf.quants.dequantize(data, qtype).reshape(shape)
        if heads_of_rows:  # back into the order of `weights`
            order = permute(np.arange(shape[0]), heads_of_rows)
            back = np.empty_like(seen)
            back[order] = seen
            seen = back
        tensors[hf_name] = seen.astype(np.float16) if qtype == Q.F16 else seen

    layer = "model.layers.0."
    add("token_embd.weight", "model.embed_tokens.weight", (vocab, hidden))
    add("blk.0.attn_norm.weight", layer + "input_layernorm.weight", (hidden,), Q.F32)
    add("blk.0.attn_q.weight", layer + "self_attn.q_proj.weight", (hidden, hidden), Q.Q8_0, heads)
    add("blk.0.attn_k.weight", layer + "self_attn.k_proj.weight", (kv_heads * head_dim, hidden),
        Q.F16, kv_heads)
    add("blk.0.attn_q.bias", layer + "self_attn.q_proj.bias", (hidden,), Q.F32, heads)
    add("blk.0.attn_k.bias", layer + "self_attn.k_proj.bias", (kv_heads * head_dim,), Q.F32,
        kv_heads)
    add("blk.0.attn_v.bias", layer + "self_attn.v_proj.bias", (kv_heads * head_dim,), Q.F32)
    add("blk.0.attn_v.weight", layer + "self_attn.v_proj.weight", (kv_heads * head_dim, hidden),
        Q.Q4_0)
    add("blk.0.attn_output.weight", layer + "self_attn.o_proj.weight", (hidden, hidden), Q.Q5_1)
    add("blk.0.ffn_norm.weight", layer + "post_attention_layernorm.weight", (hidden,), Q.F32)
    add("blk.0.ffn_gate.weight", layer + "mlp.gate_proj.weight", (hidden, hidden), Q.Q5_0)
    add("blk.0.ffn_up.weight", layer + "mlp.up_proj.weight", (hidden, hidden), Q.BF16)
    add("blk.0.ffn_down.weight", layer + "mlp.down_proj.weight", (hidden, hidden), Q.Q4_1)
    add("output_norm.weight", "model.norm.weight", (hidden,), Q.F32)
    add("output.weight", "lm_head.weight", (vocab, hidden))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(tensors, directory / "tiny_llama_expected.safetensors")
    return [p for p, _, _ in pieces], [s for _, _, s in pieces]


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20240607)
    (directory / "rope_cases.json").write_text(json.dumps(rope_cases()) + "\n")
    (directory / "gguf_blocks.json").write_text(json.dumps(quant_blocks(rng)) + "\n")
    pieces, scores = tiny_gguf(directory, rng)
    vocab = {p: i for i, p in enumerate(pieces)}
    merges = generate_merges(vocab, dict(zip(pieces, scores)))
    (directory / "tiny_llama_merges.json").write_text(json.dumps(merges) + "\n")


if __name__ == "__main__":
    main()
