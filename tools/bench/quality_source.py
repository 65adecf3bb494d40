"""The source of tools/bench/quality as llama.cpp takes it: a BF16 GGUF with the checkpoint's own weights, and the
importance matrix from Ingot's statistics. Runs in .deps/venv (numpy, gguf)."""
import json
import pathlib

import numpy as np

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name):
    name = name.removesuffix(".weight")
    flat = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    if name in flat:
        return flat[name] + ".weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest]}.weight"


def read_safetensors(path):
    """name -> (dtype, array); BF16 as uint16."""
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    size = int(raw[:8].view(np.uint64)[0])
    header = json.loads(bytes(raw[8:8 + size]))
    header.pop("__metadata__", None)
    out = {}
    for name, e in header.items():
        begin, end = (8 + size + o for o in e["data_offsets"])
        kind = {"F32": np.float32, "BF16": np.uint16, "F16": np.float16}[e["dtype"]]
        out[name] = (e["dtype"], np.frombuffer(raw[begin:end].tobytes(), dtype=kind).reshape(e["shape"]))
    return out


def permute(w, heads):
    """llama.cpp's row order of q and k: rotated pairs side by side."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def write_gguf(model, template, target):
    """The checkpoint's BF16 weights under the metadata of `template`, a GGUF of the same model."""
    import gguf
    reader = gguf.GGUFReader(str(template))
    config = json.loads((pathlib.Path(model) / "config.json").read_text())
    writer = gguf.GGUFWriter(str(target), "llama")
    for field in reader.fields.values():
        if field.name in ("GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture",
                          "general.file_type", "general.quantization_version"):
            continue
        value = field.contents()
        if value is None:
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(field.name, value)
        else:
            writer.add_key_value(field.name, value, field.types[0])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    for name, (dtype, array) in read_safetensors(pathlib.Path(model) / "model.safetensors").items():
        if name.endswith("q_proj.weight"):
            array = permute(array, config["num_attention_heads"])
        if name.endswith("k_proj.weight"):
            array = permute(array, config["num_key_value_heads"])
        if array.ndim == 1 or dtype == "F32":
            floats = (array.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else array
            writer.add_tensor(gguf_name(name), floats.astype(np.float32))
        else:
            assert dtype == "BF16", f"{name} is {dtype}"
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(array).view(np.uint8),
                              raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def imatrix_of(stats):
    """llama.cpp's importance matrix: the mean square of every matrix's inputs."""
    raw = np.memmap(stats, dtype=np.uint8, mode="r")
    size = int(raw[:8].view(np.uint64)[0])
    header = json.loads(bytes(raw[8:8 + size]))
    inputs = json.loads(header["__metadata__"]["inputs"])
    out = {}
    for weight, source in inputs.items():
        entry = header.get(f"hessian/{source}")
        if entry is None or weight == "model.embed_tokens.weight":
            continue
        begin, end = (8 + size + o for o in entry["data_offsets"])
        out[gguf_name(weight)] = np.diag(raw[begin:end].view(np.float32).reshape(entry["shape"])).copy()
    return out


def gguf_bits(path):
    """Bits per weight of the layers' matrices, as the file has them."""
    import gguf
    weights = bits = 0
    for t in gguf.GGUFReader(str(path)).tensors:
        if t.name.startswith("blk.") and len(t.shape) == 2:
            weights += t.n_elements
            bits += 8 * t.n_bytes
    return bits / weights
