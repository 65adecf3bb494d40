#!/usr/bin/env python3
"""Makes tests/fixtures/models/<name>/ for the decoder families beyond LLaMA's: tiny random models with
the logits that transformers computes for them in float32.

usage: make_decoder_fixtures.py OUT [NAME...]

Each folder gets config.json, model.safetensors, ids.txt and logits.bin (float32, ids x vocabulary), as
from make_forward_fixtures.py, whose helpers it uses. Head counts that are no powers of two, grouped
heads, tied and untied heads, with and without biases, windows shorter than the sequence. A name that
ends in -bare holds its tensors without the prefix of transformers, and -packed the expert matrices of a
layer in one tensor, as a state dict of transformers 5 does. Weights are float16 values, stored so; the
logits are computed in float32. Needs torch and transformers 5; the fixtures
are committed, so tests need neither.
"""
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

import make_forward_fixtures as forward

VOCAB = 48
LENGTH = 66
HIDDEN = dict(vocab_size=VOCAB, bos_token_id=1, eos_token_id=2, pad_token_id=0)
# The names of sizes that most families share.
USUAL = dict(HIDDEN, hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=3,
             max_position_embeddings=96)
GROUPED = dict(USUAL, num_attention_heads=6, num_key_value_heads=2)
GPT = dict(HIDDEN, n_embd=24, n_layer=2, n_head=3, n_positions=72)
BLOOM = dict(HIDDEN, hidden_size=24, n_layer=2)
OPT = dict(HIDDEN, hidden_size=24, ffn_dim=44, num_hidden_layers=2, num_attention_heads=3,
           max_position_embeddings=72)
FALCON = {k: v for k, v in USUAL.items() if k != "intermediate_size"}
MOE = dict(GROUPED, num_key_value_heads=3)

# name: (config class, arguments)
MODELS = {
    "gpt2": ("GPT2Config", GPT),
    "gpt2-bare": ("GPT2Config", dict(GPT, n_inner=40, scale_attn_by_inverse_layer_idx=True,
                                     activation_function="relu", tie_word_embeddings=False)),
    "gptj": ("GPTJConfig", dict(GPT, rotary_dim=4)),
    "gpt-neo": ("GPTNeoConfig", dict(HIDDEN, hidden_size=24, num_layers=3, num_heads=3,
                                     intermediate_size=44, max_position_embeddings=72, window_size=12,
                                     attention_types=[[["global", "local", "local"], 1]])),
    "gpt-neox": ("GPTNeoXConfig", dict(USUAL, rotary_pct=0.5)),
    "gpt-neox-sequential": ("GPTNeoXConfig", dict(USUAL, use_parallel_residual=False,
                                                  attention_bias=False, tie_word_embeddings=True)),
    "phi": ("PhiConfig", dict(USUAL, partial_rotary_factor=0.5)),
    "phi-qk-norm": ("PhiConfig", dict(USUAL, num_key_value_heads=1, qk_layernorm=True,
                                      partial_rotary_factor=0.5)),
    "opt": ("OPTConfig", OPT),
    "opt-350m": ("OPTConfig", dict(OPT, do_layer_norm_before=False, word_embed_proj_dim=14)),
    "opt-plain": ("OPTConfig", dict(OPT, enable_bias=False, layer_norm_elementwise_affine=False,
                                    activation_function="gelu", tie_word_embeddings=False)),
    "bloom": ("BloomConfig", dict(BLOOM, n_head=6)),
    "bloom-bare": ("BloomConfig", dict(BLOOM, n_head=3)),
    "falcon-7b": ("FalconConfig", FALCON),
    "falcon-40b": ("FalconConfig", dict(FALCON, new_decoder_architecture=True, num_attention_heads=6,
                                        num_kv_heads=2, tie_word_embeddings=False)),
    "falcon-11b": ("FalconConfig", dict(FALCON, new_decoder_architecture=True, num_attention_heads=6,
                                        num_kv_heads=3, num_ln_in_parallel_attn=1)),
    "falcon-rw": ("FalconConfig", dict(FALCON, alibi=True, multi_query=False, parallel_attn=False,
                                       num_attention_heads=6, bias=True)),
    "falcon-alibi": ("FalconConfig", dict(FALCON, alibi=True, ffn_hidden_size=60)),
    "stablelm": ("StableLmConfig", dict(USUAL, num_key_value_heads=1, use_qkv_bias=True)),
    "stablelm-2": ("StableLmConfig", dict(USUAL, num_key_value_heads=1, qk_layernorm=True,
                                          use_parallel_residual=True)),
    "olmo": ("OlmoConfig", dict(GROUPED, clip_qkv=1.5)),
    "olmo2": ("Olmo2Config", dict(GROUPED)),
    "olmoe": ("OlmoeConfig", dict(MOE, intermediate_size=12, num_experts=7, num_experts_per_tok=3,
                                  norm_topk_prob=True, clip_qkv=2.0)),
    "olmoe-packed": ("OlmoeConfig", dict(MOE, intermediate_size=12, num_experts=4,
                                         num_experts_per_tok=2)),
    "qwen2-moe": ("Qwen2MoeConfig", dict(MOE, num_hidden_layers=3, intermediate_size=40,
                                         moe_intermediate_size=12, num_experts=5,
                                         num_experts_per_tok=2, decoder_sparse_step=1,
                                         shared_expert_intermediate_size=20, mlp_only_layers=[1])),
    "qwen2-moe-window": ("Qwen2MoeConfig", dict(
        MOE, intermediate_size=40, moe_intermediate_size=12, num_experts=4, num_experts_per_tok=2,
        decoder_sparse_step=2, norm_topk_prob=True, shared_expert_intermediate_size=20,
        use_sliding_window=True, sliding_window=16)),
    "qwen3-moe": ("Qwen3MoeConfig", dict(MOE, head_dim=8, intermediate_size=40,
                                         moe_intermediate_size=12, num_experts=5,
                                         num_experts_per_tok=2, norm_topk_prob=True)),
    "mixtral-packed": ("MixtralConfig", dict(MOE, intermediate_size=12, num_local_experts=3,
                                             num_experts_per_tok=2)),
    "granite": ("GraniteConfig", dict(GROUPED, embedding_multiplier=6.0, residual_multiplier=0.3,
                                      attention_multiplier=0.2, logits_scaling=4.0)),
    "llama-yarn-mscale": ("LlamaConfig", dict(USUAL, rope_parameters=dict(
        rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=24,
        mscale=0.7, mscale_all_dim=0.4, beta_fast=16, beta_slow=2, truncate=False))),
    "llama-longrope": ("LlamaConfig", dict(USUAL, rope_parameters=dict(
        rope_type="longrope", rope_theta=10000.0, factor=2.0, original_max_position_embeddings=40,
        short_factor=[1.0, 1.1, 1.3, 1.6], long_factor=[2.0, 2.5, 4.0, 9.0]))),
}
PREFIX = "transformer."


def randomize(model: torch.nn.Module) -> None:
    """As make_forward_fixtures', with the names that norms have in these families; biases of norms and
    of matrices alike are far from zero."""
    for name, p in model.named_parameters():
        is_norm = p.dim() == 1 and name.endswith("weight")
        if is_norm:
            p.data = torch.randn_like(p) * 0.1 + 1.0
        elif p.dim() == 1:
            p.data = torch.randn_like(p) * 0.2
        elif "wpe" in name or "embed_positions" in name:
            p.data = torch.randn_like(p) * 0.5
        else:
            # Conv1D stores inputs first; its width is near enough to its height to serve.
            p.data = torch.randn_like(p) * (1.6 / p.shape[-1] ** 0.5)
        p.data = p.data.half().float()


def rewrite(name: str, folder: pathlib.Path, model: torch.nn.Module) -> None:
    """The checkpoint as another writer would name its tensors."""
    path = folder / "model.safetensors"
    if name.endswith("-bare"):
        save_file({k.removeprefix(PREFIX): v for k, v in load_file(path).items()}, path,
                  metadata={"format": "pt"})
    if name.endswith("-packed"):
        tensors = {k: v.clone() for k, v in model.state_dict().items()}
        save_file(tensors, path, metadata={"format": "pt"})


def make(name: str, out: pathlib.Path) -> None:
    config_class, arguments = MODELS[name]
    config = getattr(transformers, config_class)(**arguments)
    torch.manual_seed(sum(map(ord, name)))
    # transformers' eager attention adds Falcon's ALiBi twice, in the scores and in the mask.
    attention = "sdpa" if getattr(config, "alibi", False) else "eager"
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    randomize(model)
    model.tie_weights()
    model = model.float().eval()
    ids = torch.randint(3, VOCAB, (1, LENGTH))
    ids[0, 0] = 1
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[0].float()

    def save(folder):
        model.half().save_pretrained(folder)
        rewrite(name, folder, model)

    forward.write(out / name, ids[0], logits, save)


if __name__ == "__main__":
    sys.exit(forward.main(make, MODELS, __doc__))
