"""A tiny LLaMA as a Hugging Face directory, from the standard library alone: the same bytes every time."""
import json
import random
import struct

HIDDEN, LAYERS, HEADS, KV, MLP, VOCAB = 64, 2, 4, 2, 160, 256


def byte_alphabet():
    """GPT-2's printable stand-ins for the 256 bytes."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(b) if b in keep else chr(next(extra)) for b in range(256)]


def tokenizer():
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                              "use_regex": True},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                        "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                      "vocab": {c: i for i, c in enumerate(byte_alphabet())}, "merges": []}}


def config():
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
            "intermediate_size": MLP, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "num_key_value_heads": KV, "vocab_size": VOCAB, "max_position_embeddings": 256,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
            "tie_word_embeddings": False, "torch_dtype": "bfloat16"}


def shapes(vocab=VOCAB, hidden=HIDDEN, mlp=MLP, layers=LAYERS):
    kv = hidden // HEADS * KV
    out = {"model.embed_tokens.weight": (vocab, hidden)}
    for i in range(layers):
        p = f"model.layers.{i}."
        out[p + "input_layernorm.weight"] = (hidden,)
        out[p + "self_attn.q_proj.weight"] = (hidden, hidden)
        out[p + "self_attn.k_proj.weight"] = (kv, hidden)
        out[p + "self_attn.v_proj.weight"] = (kv, hidden)
        out[p + "self_attn.o_proj.weight"] = (hidden, hidden)
        out[p + "post_attention_layernorm.weight"] = (hidden,)
        out[p + "mlp.gate_proj.weight"] = (mlp, hidden)
        out[p + "mlp.up_proj.weight"] = (mlp, hidden)
        out[p + "mlp.down_proj.weight"] = (hidden, mlp)
    out["model.norm.weight"] = (hidden,)
    out["lm_head.weight"] = (vocab, hidden)
    return out


def bf16(value):
    return struct.unpack("<I", struct.pack("<f", value))[0] >> 16


def tensors(vocab=VOCAB, **sizes):
    rng = random.Random(1)
    out = {}
    for name, shape in shapes(vocab, **sizes).items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [1.0] * count if len(shape) == 1 else [rng.gauss(0, 0.15) for _ in range(count)]
        out[name] = (shape, struct.pack(f"<{count}H", *map(bf16, values)))
    return out


def write_safetensors(path, named):
    header, offset = {}, 0
    for name, (shape, data) in named.items():
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, data in named.values()))


def write(directory, named=None, with_tokenizer=True, **changes):
    """The model under `directory`; `changes` go into config.json (None removes a key)."""
    directory.mkdir(parents=True)
    data = {k: v for k, v in {**config(), **changes}.items() if v is not None}
    (directory / "config.json").write_text(json.dumps(data))
    if with_tokenizer:
        (directory / "tokenizer.json").write_text(json.dumps(tokenizer()))
    write_safetensors(directory / "model.safetensors", named or tensors())
    return directory
