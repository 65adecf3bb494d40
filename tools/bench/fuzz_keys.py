#!/usr/bin/env python3
"""Varies every key of every family's config.json, and compares ingot's logits with those of transformers.

usage: fuzz_keys.py LOGITS [FAMILY...] [--pairs N [--no-singles]] [--random N] [--seed S] [--keep DIR] [-v]

LOGITS is build/<preset>/bin/logits. For each family a tiny random model is made; then, one at a time, each
key of its config class gets other values, and so do keys that other families have or that configs on the Hub
carry (FOREIGN); --pairs N adds N random pairs of such changes a family. Weights are drawn for the shapes that
the changed config asks for. --random N makes N fixtures instead, by turns of each family, and deals all changes of the
family's keys to its fixtures, so that each has many at once and every key is in one; what transformers does not take
beside the others is put back. Each case ends as one of

  equal      relative error of the logits at most 1e-4
  refused    ingot refuses, and its message names the key
  both       transformers refuses the config, too (or fails to run it)
  lenient    transformers refuses the config, ingot runs it
  FALSE      ingot refuses though the reference's logits do not depend on the key
  UNNAMED    ingot refuses without naming the key
  DIFFERENT  ingot runs and computes something else: what must never be

and the exit status is 1 when there is any DIFFERENT, UNNAMED or FALSE. Needs torch and transformers.
"""
import argparse
import collections
import copy
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

MAX_ERROR = 1e-4
# Refused although these logits do not show it: other attention implementations, other layers or older versions
# of transformers obey the key, or a value differs only where activations are large.
STRICTER = {"use_bidirectional_attention", "per_layer_config", "position_embedding_type", "hidden_act",
            "hidden_activation", "activation", "activation_function"}
# What a message may say instead of the key's name.
ALSO = {"num_attention_heads": "a head's", "hidden_size": "a head's"}
KNOWN_ACTIVATIONS = {"silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "relu"}
VOCAB, LENGTH = 48, 40
TOKENS = dict(vocab_size=VOCAB, bos_token_id=1, eos_token_id=2, pad_token_id=0)
USUAL = dict(TOKENS, hidden_size=24, intermediate_size=44, num_hidden_layers=3, num_attention_heads=6,
             max_position_embeddings=64)
GROUPED = dict(USUAL, num_key_value_heads=2)
GEMMA = dict(GROUPED, head_dim=8)
MOE = dict(GROUPED, num_experts_per_tok=2, num_hidden_layers=2)
GPT = dict(TOKENS, n_embd=24, n_layer=2, n_head=3, n_positions=64)
ENCODER = dict(USUAL, num_hidden_layers=2, num_attention_heads=3)
MAMBA = dict(TOKENS, hidden_size=24, num_hidden_layers=2, state_size=8)

BASES = {
    "llama": GROUPED, "mistral": dict(GROUPED, sliding_window=16), "qwen2": GROUPED,
    "qwen3": dict(GROUPED, head_dim=8),
    "granite": dict(GROUPED, attention_multiplier=0.3),
    "phi3": GROUPED,
    "gemma": GEMMA, "gemma2": dict(GEMMA, sliding_window=16, query_pre_attn_scalar=24),
    "gemma3_text": dict(GEMMA, sliding_window=16, query_pre_attn_scalar=24, sliding_window_pattern=2),
    "mixtral": dict(MOE, num_local_experts=4, intermediate_size=12),
    "qwen2_moe": dict(MOE, num_experts=4, moe_intermediate_size=12, shared_expert_intermediate_size=20),
    "qwen3_moe": dict(MOE, num_experts=4, moe_intermediate_size=12, head_dim=8),
    "olmoe": dict(MOE, num_experts=4, intermediate_size=12),
    "olmo": GROUPED, "olmo2": GROUPED,
    "gpt2": GPT, "gptj": dict(GPT, rotary_dim=4),
    "gpt_neo": dict(TOKENS, hidden_size=24, num_layers=2, num_heads=3, max_position_embeddings=64,
                    window_size=12, attention_types=[[["global", "local"], 1]]),
    "gpt_neox": dict(USUAL, num_attention_heads=3, rotary_pct=0.5),
    "phi": dict(USUAL, num_attention_heads=3),
    "opt": dict(TOKENS, hidden_size=24, ffn_dim=44, num_hidden_layers=2, num_attention_heads=3,
                max_position_embeddings=64, word_embed_proj_dim=24),
    "bloom": dict(TOKENS, hidden_size=24, n_layer=2, n_head=3),
    "falcon": {k: v for k, v in USUAL.items() if k != "intermediate_size"},
    "stablelm": dict(USUAL, num_attention_heads=3, num_key_value_heads=1),
    "starcoder2": GROUPED,
    "bert": ENCODER, "roberta": ENCODER,
    "distilbert": dict(TOKENS, dim=24, hidden_dim=44, n_layers=2, n_heads=3, max_position_embeddings=64),
    "mamba": MAMBA, "falcon_mamba": MAMBA,
    "mamba2": dict(MAMBA, num_heads=6, head_dim=8, n_groups=2, chunk_size=16),
    "jamba": dict(GROUPED, num_hidden_layers=4, attn_layer_period=3, attn_layer_offset=1, num_experts=3,
                  mamba_d_state=6, mamba_dt_rank=5, use_mamba_kernels=False),
    "bamba": dict(GROUPED, hidden_size=48, attn_layer_indices=[1], mamba_n_heads=4, mamba_d_head=24,
                  mamba_n_groups=2, mamba_d_state=8, mamba_chunk_size=16),
    "rwkv": dict(TOKENS, hidden_size=24, num_hidden_layers=2, context_length=64),
}
MASKED = {"bert", "roberta", "distilbert"}

YARN = dict(type="yarn", factor=4.0, original_max_position_embeddings=16)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
DEFAULT_ROPE = dict(rope_type="default", rope_theta=10000.0)
# Keys that some family or some config on the Hub has, tried in every family. A tuple of pairs is one change.
FOREIGN = [
    ("is_causal", False), ("is_causal", True), ("use_bidirectional_attention", True),
    ("use_bidirectional_attention", False), ("is_decoder", True), ("add_cross_attention", True),
    ("is_encoder_decoder", True), ("rope_theta", 500.0), ("rope_scaling", dict(type="linear", factor=2.0)),
    ("rope_scaling", YARN), ("rope_scaling", LLAMA3), ("rope_scaling", dict(type="dynamic", factor=2.0)),
    ("rope_scaling", dict(rope_type="default")), ("rope_scaling", None), ("rope_scaling", {}),
    ("rope_parameters", dict(rope_type="default", rope_theta=700.0)),
    ("rope_parameters", dict(rope_type="linear", factor=3.0, rope_theta=10000.0)),
    ("rope_parameters", dict(YARN, rope_theta=10000.0)),
    ("rope_parameters", dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5)),
    ("rope_parameters", dict(full_attention=dict(DEFAULT_ROPE, rope_theta=900.0),
                             sliding_attention=dict(DEFAULT_ROPE, rope_theta=400.0))),
    (("rope_parameters", DEFAULT_ROPE), ("rope_scaling", YARN)),
    (("rope_parameters", dict(DEFAULT_ROPE, rope_theta=700.0)), ("rope_scaling", dict(type="linear", factor=2.0))),
    (("rope_parameters", DEFAULT_ROPE), ("rope_theta", 300.0)),
    (("rope_scaling", YARN), ("rope_theta", 300.0)),
    (("rope_scaling", dict(type="yarn", factor=4.0)), ("original_max_position_embeddings", 24)),
    (("rope_scaling", dict(YARN, attention_factor=1.7))),
    (("rope_scaling", dict(YARN, mscale=0.7, mscale_all_dim=0.4, beta_fast=16, beta_slow=2, truncate=False))),
    (("rope_scaling", dict(LLAMA3)), ("partial_rotary_factor", 0.5)),
    (("rope_parameters", dict(DEFAULT_ROPE)), ("partial_rotary_factor", 0.5)),
    ("partial_rotary_factor", 0.5), ("rotary_pct", 0.5), ("rotary_emb_base", 300.0), ("rope_pct", 0.5),
    ("rotary_dim", 2), ("rope_local_base_freq", 300.0), ("original_max_position_embeddings", 16),
    ("head_dim", 12), ("head_dim", None), ("attn_logit_softcapping", 2.0), ("final_logit_softcapping", 3.0),
    ("query_pre_attn_scalar", 5), ("logit_scale", 0.5), ("attention_multiplier", 0.2),
    ("embedding_multiplier", 3.0), ("residual_multiplier", 0.5), ("logits_scaling", 3.0),
    ("sliding_window", 12), ("sliding_window", None), ("sliding_window", 0),
    ("use_sliding_window", True), (("use_sliding_window", True), ("sliding_window", 12)),
    (("use_sliding_window", True), ("sliding_window", 12), ("max_window_layers", 1)),
    (("use_sliding_window", False), ("sliding_window", 12)),
    (("sliding_window", 12), ("layer_types", "sliding")), ("layer_types", "full"), ("layer_types", "mixed"),
    (("use_sliding_window", True), ("sliding_window", 12), ("layer_types", "mixed")),
    ("sliding_window_pattern", 2), ("_sliding_window_pattern", 2), ("attention_chunk_size", 8),
    ("max_window_layers", 1), ("attention_bias", True), ("attention_bias", False), ("mlp_bias", True),
    ("qkv_bias", False), ("use_qkv_bias", True), ("bias", True), ("use_bias", True), ("clip_qkv", 0.7),
    ("hidden_activation", "relu"), ("hidden_act", "gelu"), ("hidden_act", "relu"), ("hidden_act", "gelu_new"),
    ("hidden_act", "gelu_10"), ("hidden_act", "quick_gelu"), ("hidden_act", "relu2"), ("hidden_act", "mish"),
    ("hidden_act", "gelu_fast"), ("hidden_act", "gelu_python"), ("hidden_act", "swish"),
    ("activation_function", "relu"), ("activation", "relu"), ("rms_norm_eps", 0.3), ("layer_norm_eps", 0.3),
    ("layer_norm_epsilon", 0.3), ("norm_eps", 0.3), ("norm_epsilon", 0.3), ("qk_layernorm", True),
    ("use_parallel_residual", False), ("use_parallel_residual", True), ("parallel_attn", False),
    ("alibi", True), ("norm_topk_prob", True), ("norm_topk_prob", False), ("num_experts_per_tok", 1),
    ("router_jitter_noise", 0.3), ("output_router_logits", True), ("tie_word_embeddings", True),
    ("tie_word_embeddings", False), ("num_key_value_heads", 1), ("num_key_value_heads", None),
    ("n_head_kv", 1), ("num_kv_heads", 1), ("multi_query", True), ("position_embedding_type", "relative_key"),
    ("position_embedding_type", "absolute"), ("scale_attn_weights", False), ("n_inner", 40),
    ("intermediate_size", 40), ("ffn_dim", 40), ("ffn_hidden_size", 40), ("chunk_size_feed_forward", 8),
    ("max_position_embeddings", 48), ("n_positions", 48), ("no_rope_layers", [0, 1, 0]), ("use_cache", False),
    ("torch_dtype", "float32"), ("dtype", "float32"), ("pretraining_tp", 2), ("slow_but_exact", True),
    ("attn_implementation", "sdpa"), ("_attn_implementation", "eager"), ("output_hidden_states", True),
    ("output_attentions", True), ("return_dict", False), ("num_labels", 3), ("id2label", {"0": "A"}),
    ("rescale_every", 0), ("time_step_limit", [0.3, 0.9]), ("time_step_min", 0.3), ("time_step_max", 0.9),
    ("time_step_floor", 0.3), ("residual_in_fp32", False), ("expand", 3), ("mamba_expand", 3),
    ("per_layer_config", {"0": {"rms_norm_eps": 0.3, "layer_norm_eps": 0.3}}), ("use_mambapy", True), ("num_logits_to_keep", 2),
    ("scale_attn_by_inverse_layer_idx", True), ("reorder_and_upcast_attn", True), ("embedding_size", 16),
    ("moe_intermediate_size", 16), ("n_shared_experts", 1), ("first_k_dense_replace", 1), ("frobnicate", 3),
    ("quantization_config", None), ("normalize_embedding", True), ("scale_embedding", True),
    ("attention_dropout", 0.5), ("hidden_dropout", 0.5), ("classifier_dropout", 0.5), ("do_sample", True),
    ("temperature", 0.3), ("pad_token_id", 5), ("eos_token_id", [2, 5]), ("problem_type", None),
    ("time_step_rank", 3), ("layers_block_type", ["mamba", "attention", "mamba", "attention"]),
    ("apply_residual_connection_post_layernorm", True), ("sinusoidal_pos_embds", True),
    ("enable_bias", False), ("do_layer_norm_before", False), ("_remove_final_layer_norm", True),
    ("layer_norm_elementwise_affine", False), ("word_embed_proj_dim", 12), ("type_vocab_size", 3),
    ("new_decoder_architecture", True), ("num_ln_in_parallel_attn", 1), ("num_ln_in_parallel_attn", 2),
    (("new_decoder_architecture", True), ("num_kv_heads", 2), ("num_ln_in_parallel_attn", 1)),
    ("mlp_only_layers", [0]), ("decoder_sparse_step", 2), ("n_embed", 24), ("qk_norm", True),
    ("use_qk_norm", True), ("attn_layer_indices", []), ("attn_layer_indices", None), ("mamba_d_head", "auto"),
    ("attention_hidden_size", 24), ("num_local_experts", 3), ("num_experts", 3), ("dropout", 0.3),
]


def choices(key, value):
    """Other values of a key whose default is `value`."""
    if isinstance(value, bool):
        return [not value]
    if key in ("vocab_size",):
        return []
    if isinstance(value, int):
        return [v for v in (value + 1, value * 2, value - 1) if v > 0]
    if isinstance(value, float):
        return [value * 0.5 + 0.1, value * 2]
    if isinstance(value, str):
        return []
    return []


def layer_types(kind, layers):
    names = {"full": ["full_attention"] * 2, "sliding": ["sliding_attention"] * 2,
             "mixed": ["sliding_attention", "full_attention"]}[kind]
    return [names[i % 2] for i in range(layers)]


def changes(family):
    """Lists of (key, value): what one case changes."""
    base = BASES[family]
    own = CONFIG_MAPPING[family](**base).to_dict()
    harmless = set(transformers.PretrainedConfig().to_dict()) | {"model_type"}
    out = []
    for key, value in own.items():
        # A text with padding tokens is another text to RoBERTa, which counts positions without them.
        if key in harmless or key in ("bos_token_id", "eos_token_id", "pad_token_id"):
            continue
        for other in choices(key, value):
            out.append([(key, other)])
    for entry in FOREIGN:
        pairs = [entry] if isinstance(entry[0], str) else list(entry)
        out.append(pairs)
    layers = next((own[k] for k in ("num_hidden_layers", "n_layer", "num_layers", "n_layers") if k in own), 2)
    for pairs in out:
        for i, (key, value) in enumerate(pairs):
            if key == "layer_types" and isinstance(value, str):
                pairs[i] = (key, layer_types(value, layers))
    return out


def raw_config(family, pairs=()):
    """What config.json holds: the keys of a published one, and the changes."""
    config = dict(copy.deepcopy(BASES[family]), model_type=family)
    config.update({k: copy.deepcopy(v) for k, v in pairs})
    return config


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    gemma = "Gemma" in type(model).__name__

    def normal(p, scale, mean=0.0):
        return torch.randn(p.shape, generator=generator) * scale + mean

    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("A_log"):
                p.copy_(torch.rand(p.shape, generator=generator) * 3 - 2)
            elif name.endswith((".dt_proj.bias", ".dt_bias")):
                p.copy_(normal(p, 1, -0.5))
            elif "time_" in name:
                p.copy_(p + normal(p, 0.2))
            elif name.endswith(".D") or (p.dim() == 1 and name.endswith("weight")):
                p.copy_(normal(p, 0.2, 0.0 if gemma and "norm" in name else 1.0))
            elif p.dim() == 1:
                p.copy_(normal(p, 0.2))
            elif "conv1d" in name or "position" in name or "wpe" in name:
                p.copy_(normal(p, 0.6))
            else:
                p.copy_(normal(p, 1.6 / p.shape[-1] ** 0.5))
    model.tie_weights()


class Reference:
    """A family's model for one config: its folder, and the logits that transformers computes from it."""

    def __init__(self, family, config, folder):
        auto = transformers.AutoModelForMaskedLM if family in MASKED else transformers.AutoModelForCausalLM
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path = folder / "config.json"
        path.write_text(json.dumps(config))
        loaded = transformers.AutoConfig.from_pretrained(folder)
        # transformers' eager attention adds Falcon's ALiBi twice, in the scores and in the mask.
        attention = "sdpa" if config.get("alibi") and family == "falcon" else "eager"
        model = auto.from_config(loaded, attn_implementation=attention)
        randomize(model, 7)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        path.write_text(json.dumps(config))
        model = model.float().eval()
        if hasattr(model.config, "use_mamba_kernels"):
            model.config.use_mamba_kernels = False
        ids = torch.tensor([IDS])
        with torch.no_grad():
            out = model(ids, return_dict=True, use_cache=False)
        self.logits = out.logits[0].float().numpy()
        if not np.isfinite(self.logits).all():
            raise ValueError("logits are not finite")


IDS = [1] + np.random.default_rng(3).integers(6, VOCAB, LENGTH - 1).tolist()


def ours(program, folder):
    run = subprocess.run([program, str(folder), *map(str, IDS)], capture_output=True)
    text = run.stderr.decode("utf-8", "replace").strip()
    if run.returncode != 0:
        return None, text.splitlines()[-1] if text else f"exit {run.returncode}"
    return np.frombuffer(run.stdout, "<f4").reshape(LENGTH, -1), text


def error(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max()) if a.shape == b.shape else 1e9


def one(args, family, pairs, folder, base_logits):
    keys = [k for k, _ in pairs]
    try:
        reference = Reference(family, raw_config(family, pairs), folder)
    except Exception as why:  # whatever it is, the reference does not run this
        if not (folder / "model.safetensors").exists():
            return "both", f"transformers: {str(why).splitlines()[0][:120] if str(why) else type(why).__name__}"
        logits, text = ours(args.logits, folder)
        return ("both" if logits is None else "lenient"), f"transformers: {str(why).splitlines()[0][:120]}"
    logits, text = ours(args.logits, folder)
    if logits is None:
        named = any(re.search(rf"\b{re.escape(k)}\b", text) or ALSO.get(k, "\0") in text for k in keys)
        same = base_logits is not None and error(reference.logits, base_logits) < 1e-7
        if same and not (named and STRICTER & set(keys)):
            return "FALSE", text
        return ("refused" if named else "UNNAMED"), text
    off = error(logits, reference.logits)
    note = " (as without)" if base_logits is not None and error(reference.logits, base_logits) < 1e-7 else ""
    return ("equal" if off <= MAX_ERROR else "DIFFERENT"), f"{off:.1e}{note}"


def dealt(family, fixtures, seed):
    """Lists of (key, value), one a fixture: all changes of the family, none of a key twice in one."""
    own = CONFIG_MAPPING[family](**BASES[family]).to_dict()
    cases = [pairs for pairs in changes(family) if any(key in own for key, _ in pairs)]
    # An activation that is refused says nothing of what is beside it: one of each kind of key is enough.
    acts = [p for p in cases if p[0][0] in ("hidden_act", "hidden_activation", "activation", "activation_function")]
    unknown = [p for p in acts if p[0][1] not in KNOWN_ACTIVATIONS]
    cases = [p for p in cases if p not in unknown[1:]]
    random.Random(f"{seed} {family} dealt").shuffle(cases)
    hands = [[] for _ in range(fixtures)]
    for i, pairs in enumerate(cases):
        for step in range(fixtures):
            hand = hands[(i + step) % fixtures]
            if not {k for k, _ in pairs} & {k for k, _ in hand}:
                hand.extend(pairs)
                break
    return hands


def compatible(family, pairs):
    """Those of the changes that the reference takes together, the earlier ones first."""
    auto = transformers.AutoModelForMaskedLM if family in MASKED else transformers.AutoModelForCausalLM
    kept = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for pair in pairs:
            try:
                (folder / "config.json").write_text(json.dumps(raw_config(family, kept + [pair])))
                config = transformers.AutoConfig.from_pretrained(folder)
                attention = "sdpa" if getattr(config, "alibi", False) else "eager"
                model = auto.from_config(config, attn_implementation=attention).float().eval()
                with torch.no_grad():
                    finite = model(torch.tensor([IDS]), use_cache=False, return_dict=True).logits.isfinite().all()
            except Exception:  # whatever it is, the reference does not run this
                continue
            if finite:
                kept.append(pair)
    return kept


def run_random(args, families, folder):
    total, refusals = collections.Counter(), collections.Counter()
    seen = collections.defaultdict(set)
    for at, family in enumerate(families):
        share = args.random // len(families) + (at < args.random % len(families))
        for number, hand in enumerate(dealt(family, share, args.seed)):
            pairs = compatible(family, hand)
            kind, text = one(args, family, pairs, folder, None)
            total[kind] += 1
            seen[family] |= {k for k, _ in pairs}
            if kind == "refused":
                refusals[next((k for k, _ in pairs if re.search(rf"\b{re.escape(k)}\b", text)), "?")] += 1
            if kind.isupper() or args.v:
                print(f"  {kind:9} {family} {number}: {json.dumps(dict(pairs))}: {text}", flush=True)
            if kind.isupper() and args.keep:
                shutil.copytree(folder, pathlib.Path(args.keep) / f"{family}-random-{number}", dirs_exist_ok=True)
        own = set(CONFIG_MAPPING[family](**BASES[family]).to_dict())
        print(f"{family}: {share} fixtures, {len(seen[family] & own)} keys of its class varied", flush=True)
    print("all: " + ", ".join(f"{v} {k}" for k, v in sorted(total.items())) +
          "; refused by " + ", ".join(f"{k} ({v})" for k, v in refusals.most_common()))
    return 1 if any(k.isupper() for k in total) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("logits")
    parser.add_argument("families", nargs="*")
    parser.add_argument("--pairs", type=int, default=0, help="random pairs of changes a family")
    parser.add_argument("--no-singles", action="store_true", help="pairs alone")
    parser.add_argument("--random", type=int, default=0, help="fixtures with many keys changed, in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keys", help="only changes of keys that match this expression")
    parser.add_argument("--keep", help="where the cases that are not as they should be are kept")
    parser.add_argument("-v", action="store_true", help="a line a case")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    total = collections.Counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "model"
        if args.random:
            return run_random(args, args.families or list(BASES), folder)
        for family in args.families or BASES:
            base = Reference(family, raw_config(family), folder)
            logits, text = ours(args.logits, folder)
            if logits is None or error(logits, base.logits) > MAX_ERROR:
                total["DIFFERENT"] += 1
                print(f"{family}: the base itself: {text or error(logits, base.logits)}", flush=True)
                continue
            cases = changes(family)
            rng = random.Random(f"{args.seed} {family}")
            singles = [p for p in cases if len(p) == 1]
            if args.no_singles:
                cases = []
            for _ in range(args.pairs):
                a, b = rng.sample(singles, 2)
                if a[0][0] != b[0][0]:
                    cases.append(a + b)
            count = collections.Counter()
            for pairs in cases:
                if args.keys and not any(re.search(args.keys, k) for k, _ in pairs):
                    continue
                kind, text = one(args, family, pairs, folder, base.logits)
                count[kind] += 1
                bad = kind.isupper()
                if bad or args.v:
                    print(f"  {kind:9} {family}: {json.dumps(dict(pairs))}: {text}", flush=True)
                if bad and args.keep:
                    kept = pathlib.Path(args.keep) / f"{family}-{sum(count.values())}"
                    shutil.copytree(folder, kept, dirs_exist_ok=True)
            total += count
            print(f"{family}: " + ", ".join(f"{v} {k}" for k, v in sorted(count.items())), flush=True)
    print("all: " + ", ".join(f"{v} {k}" for k, v in sorted(total.items())))
    return 1 if any(k.isupper() for k in total) else 0


if __name__ == "__main__":
    sys.exit(main())
