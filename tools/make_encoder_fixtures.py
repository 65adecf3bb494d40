#!/usr/bin/env python3
"""Makes tests/fixtures/models/<name>/ for encoders: tiny random BERT, RoBERTa and DistilBERT models with
masked-LM heads and the logits that transformers computes for them in float32, at every position.

usage: make_encoder_fixtures.py OUT [NAME...]

Each folder gets config.json, model.safetensors, ids.txt and logits.bin (float32, ids x vocabulary).
Needs torch and transformers; the fixtures are committed, so tests need neither.
"""
import json
import pathlib
import sys

import safetensors.torch
import torch
import transformers

BERT = dict(vocab_size=97, hidden_size=30, intermediate_size=50, num_hidden_layers=2, num_attention_heads=3,
            max_position_embeddings=70, type_vocab_size=2, pad_token_id=0)
LENGTH = 61


def old_names(name):
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


# name: (config class, model class, overrides, name of a tensor -> name in the file)
MODELS = {
    "bert": ("BertConfig", "BertForMaskedLM", dict(), None),
    # Pretraining's other head and pooler beside it, and the names of the first checkpoints.
    "bert-pretraining": ("BertConfig", "BertForPreTraining",
                         dict(hidden_act="gelu_new", num_hidden_layers=3, hidden_size=35,
                              num_attention_heads=5, layer_norm_eps=1e-7), old_names),
    "bert-untied-bare": ("BertConfig", "BertForMaskedLM", dict(tie_word_embeddings=False, hidden_act="relu"),
                         lambda name: name.removeprefix("bert.")),
    "roberta": ("RobertaConfig", "RobertaForMaskedLM",
                dict(type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5, max_position_embeddings=66), None),
    "distilbert": ("DistilBertConfig", "DistilBertForMaskedLM",
                   dict(vocab_size=97, dim=36, hidden_dim=52, n_layers=2, n_heads=4, max_position_embeddings=64,
                        sinusoidal_pos_embds=False), None),
}


def randomize(model):
    """Weights of a size that makes logits and attention uneven; norms near one."""
    for name, p in model.named_parameters():
        if "norm" in name.lower() and name.endswith("weight"):
            p.data = torch.randn_like(p) * 0.1 + 1.0
        elif name.endswith("bias"):
            p.data = torch.randn_like(p) * 0.2
        else:
            p.data = torch.randn_like(p) * (2.0 / p.shape[-1] ** 0.5)


def tensors_of(model, rename):
    """A tensor that two names share is kept once, under the name of the embedding or the plain bias."""
    seen, out = {}, {}
    for name, tensor in sorted(model.state_dict().items(), key=lambda item: "decoder" in item[0]):
        if tensor.data_ptr() in seen or not tensor.is_floating_point():
            continue
        seen[tensor.data_ptr()] = name
        out[rename(name) if rename else name] = tensor.contiguous().clone()
    return out


def make(name, out):
    config_class, model_class, overrides, rename = MODELS[name]
    base = {} if name.startswith("distilbert") else BERT
    config = getattr(transformers, config_class)(**{**base, **overrides})
    config._attn_implementation = "eager"
    torch.manual_seed(sum(map(ord, name)))
    model = getattr(transformers, model_class)(config)
    randomize(model)
    model.tie_weights()
    model = model.float().eval()
    ids = torch.randint(3, config.vocab_size, (1, LENGTH))
    with torch.no_grad():
        result = model(ids)
    logits = (result.logits if "logits" in result else result.prediction_logits)[0].float()
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors_of(model, rename), folder / "model.safetensors", {"format": "pt"})
    (folder / "ids.txt").write_text(" ".join(str(i) for i in ids[0].tolist()) + "\n")
    (folder / "logits.bin").write_bytes(logits.numpy().tobytes())
    text = config.to_dict()
    text["architectures"] = [model_class]
    text.pop("transformers_version", None)
    (folder / "config.json").write_text(json.dumps(text, indent=1, sort_keys=True) + "\n")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name:16} {size:7} bytes, |logits| <= {logits.abs().max():.2f}")


def main():
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    for name in sys.argv[2:] or MODELS:
        make(name, pathlib.Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
