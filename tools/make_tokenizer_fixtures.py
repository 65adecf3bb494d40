#!/usr/bin/env python3
"""Writes tests/fixtures/tokenizers/<shape>.json: small tokenizers of the shapes that known model families
have, each with the ids and decoded texts that the `tokenizers` package gives for hard strings.

usage: make_tokenizer_fixtures.py tests/fixtures/tokenizers [NAME...]     needs `pip install tokenizers sentencepiece`
"""
import io
import json
import pathlib
import sys

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = ["the quick brown fox jumps over the lazy dog. It's 1234 times, isn't it? Hello world! "
          "we'll they're caf\u00e9 na\u00efve \u4f60\u597d \u043f\u0440\u0438\u0432\u0435\u0442 x = f(y[0]) + 12;\n\tfor i in range(10):\n        pass\n\n"] * 8
TEXTS = ["", " ", "Hello world", "  two  spaces ", "it's IT'S we'LL 12345 678", "a\n\n b\r\n\tc   ", "caf\u00e9 cafe\u0301 \u212b",
         "\u4f60\u597d\u4e16\u754c \u043f\u0440\u0438\u0432\u0435\u0442 \u0645\u0631\u062d\u0628\u0627", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f", "<s>x</s> <unk> y", "a<|sp|> b <|sp|>c  <|r|>  d xwordx word",
         "f(x)=y[0]+12; // \u00bd \u00b2 \u0661\u0662", "\u2581x \u2581\u2581y <0x41>", "\u00a0\u3000\u180e\u2028 z", "!!!???...---", "\x00\x01\x7f", "\U00031350\U0001e5d0 K\u212a \u017f"]
GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|"
         r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
P, N = pre_tokenizers, normalizers
BYTES = P.ByteLevel(add_prefix_space=False, use_regex=False)


def split(pattern, behavior="isolated", invert=False):
    return P.Split(Regex(pattern), behavior, invert)


def train(normalizer, pre, byte_level, **model):
    t = Tokenizer(models.BPE(unk_token=None if byte_level else "<unk>", **model))
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    alphabet = P.ByteLevel.alphabet() if byte_level else []
    special = [] if byte_level else ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, special_tokens=special, show_progress=False))
    spec = json.loads(t.to_str())
    spec["added_tokens"] = [a for a in spec["added_tokens"] if not a["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(spec))


def wordpiece(lowercase, strip_accents, **model):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", **model))
    t.normalizer = N.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    t.pre_tokenizer = P.BertPreTokenizer()
    t.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    return t


def charsmap():
    """SentencePiece's compiled form of a few rules, several characters long on either side."""
    rules = {"\ufb01": "fi", "e\u0301": "\u00e9", "\u212b": "\u00c5", "\u3000": " ", "\u00a0": " ", "\u00bd": "1\u20442", "\t": " ", "\u2028": " ",
             "\u200d": "", "K": "k", "a\u0300b": "x", "\u017f": "s"}
    tsv = pathlib.Path("charsmap_rules.tsv")
    tsv.write_text("".join(" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n" for a, b in rules.items()))
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=made, vocab_size=90, normalization_rule_tsv=str(tsv),
                                             hard_vocab_limit=False, minloglevel=2)
    tsv.unlink()
    return field(field(made.getvalue(), 3), 2)  # normalizer_spec.precompiled_charsmap


def field(message, number):
    """The last length-delimited field of that number in a protocol buffer."""
    at, found = 0, b""

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            size = varint()
            if key >> 3 == number:
                found = message[at:at + size]
            at += size
        elif key & 7 == 0:
            varint()
        else:
            at += 8 if key & 7 == 1 else 4
    return found


def unigram(normalizer, pre, byte_fallback):
    t = Tokenizer(models.Unigram())
    t.normalizer, t.pre_tokenizer = normalizer, pre
    special = ["<unk>", "<s>", "</s>"] + ([f"<0x{b:02X}>" for b in range(256)] if byte_fallback else [])
    t.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=200 + len(special), unk_token="<unk>", special_tokens=special, show_progress=False))
    spec = json.loads(t.to_str())
    spec["model"]["byte_fallback"] = byte_fallback
    spec["added_tokens"] = [a for a in spec["added_tokens"] if not a["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(spec))


def shapes():
    spm = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    bl = decoders.ByteLevel()
    llama = N.Sequence([N.Prepend("\u2581"), N.Replace(" ", "\u2581")])
    fallback = dict(byte_fallback=True, fuse_unk=True)
    yield "gpt2", train(None, P.ByteLevel(add_prefix_space=False), True), bl
    yield "gpt2_prefix", train(None, P.ByteLevel(add_prefix_space=True), True), bl
    yield "llama3", train(None, P.Sequence([split(GPT4), BYTES]), True, ignore_merges=True), bl
    yield "gpt4o", train(None, P.Sequence([split(O200K), BYTES]), True), bl
    yield "qwen2", train(N.NFC(), P.Sequence([split(GPT4.replace("{1,3}", "")), BYTES]), True), bl
    yield "falcon", train(None, P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(), split("[0-9][0-9][0-9]")]), True), bl
    yield "starcoder", train(None, P.Sequence([P.Digits(True), P.ByteLevel(add_prefix_space=False)]), True), bl
    yield "deepseek", train(None, P.Sequence([split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(r"[\u4e00-\u9fa5]+"), P.Digits(True), BYTES]), True), bl
    yield "bloom", train(None, P.Sequence([split(r" ?[^(\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"), BYTES]), True), bl
    yield "neox", train(N.NFC(), P.ByteLevel(add_prefix_space=False), True), bl
    yield "llama2_legacy", train(llama, None, False, **fallback), spm
    yield "mistral_metaspace", train(None, P.Metaspace(prepend_scheme="first", split=False), False, **fallback), spm
    yield "metaspace_always", train(None, P.Metaspace(prepend_scheme="always"), False, **fallback), decoders.Metaspace()
    yield "metaspace_never", train(N.NFKC(), P.Metaspace(prepend_scheme="never"), False), decoders.Metaspace(prepend_scheme="never")
    yield "gemma", train(N.Replace(" ", "\u2581"), P.Split(" ", "merged_with_previous"), False, **fallback), decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    yield "words", train(N.Sequence([N.NFD(), N.StripAccents(), N.Lowercase()]), P.Whitespace(), False), None
    yield "words_split", train(N.NFKD(), P.Sequence([P.WhitespaceSplit(), P.Punctuation()]), False), None
    yield "bert_uncased", wordpiece(True, None), decoders.WordPiece()
    yield "bert_cased", wordpiece(False, None), decoders.WordPiece(cleanup=False)
    yield "bert_accents", wordpiece(True, False, max_input_chars_per_word=6), decoders.WordPiece()
    yield "roberta", train(None, P.ByteLevel(add_prefix_space=True), True), bl
    yield "unigram_metaspace", unigram(N.Sequence([N.Precompiled(charsmap())]), P.Metaspace(), False), decoders.Metaspace()
    yield "unigram_bytes", unigram(N.Sequence([N.Prepend("\u2581"), N.Replace(" ", "\u2581")]), None, True), spm
    for behavior in ("removed", "merged_with_previous", "merged_with_next", "contiguous"):
        yield f"split_{behavior}", train(N.Replace(Regex(r"[\t\n]+"), " "), split(r"[aeiou ]", behavior, behavior == "removed"), False), decoders.Fuse()


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, t, decoder in shapes():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        if decoder:
            t.decoder = decoder
        t.add_special_tokens([AddedToken("<s>", special=True, normalized=False), AddedToken("</s>", special=True, normalized=False),
                              AddedToken("<|sp|>", special=True, normalized=False, lstrip=True), AddedToken("<|r|>", special=True, normalized=False, rstrip=True)])
        t.add_tokens([AddedToken("word", single_word=True), AddedToken("  "), AddedToken("    ")])
        bos = t.token_to_id("<s>")
        t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", bos), ("</s>", t.token_to_id("</s>"))])
        if name == "roberta":
            t.post_processor = processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", bos))
        cases = []
        for text in TEXTS:
            ids = t.encode(text, add_special_tokens=False).ids
            cases.append({"text": text, "ids": ids, "special": t.encode(text).ids,
                          "decoded": t.decode(ids, skip_special_tokens=False), "skipped": t.decode(ids, skip_special_tokens=True)})
        reordered = list(range(0, t.get_vocab_size(), 3))
        cases.append({"ids_only": reordered, "decoded": t.decode(reordered, skip_special_tokens=False)})
        text = json.dumps({"tokenizer": json.loads(t.to_str()), "cases": cases}, ensure_ascii=True, separators=(",", ":"))
        (out / f"{name}.json").write_text(text + "\n")
        print(name, len(text))


main()
