"""llama.cpp as a reference: logits and token ids of a GGUF, through the library that PyPI's xllamacpp brings prebuilt.

Needs xllamacpp in the running Python (pip install xllamacpp, x86-64). Its own interface gives no logits; the C functions
of llama.h that the extension exports do. Structures that pass by value are larger than this file knows: they lie in
memory, so that a larger block than the library expects is harmless, and the few fields that are set are found by the
defaults that stand around them. Keys and values are kept in float32 and no fused attention is used, so that what is left
is the order of additions.
"""
import ctypes
import importlib.util
import pathlib
import struct

import numpy as np

BLOCK = 1024
# llama_context_params: n_ctx, n_batch, n_ubatch, n_seq_max stand first; threads, the kind of fused attention and the
# types of the cache behind. What each is by default says whether this is the layout that is known.
THREADS, FUSED, TYPES = 28, 52, 104
VOCABULARY_ALONE = 72  # in llama_model_params
DEFAULTS = {0: 512, 4: 2048, 12: 1, FUSED - 4: -1, FUSED: -1, TYPES: 1, TYPES + 4: 1}


class Block(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint8 * BLOCK)]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.POINTER(ctypes.c_int32)), ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8)),
                ("more", ctypes.c_uint8 * 64)]


LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def library():
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None:
        raise SystemExit("xllamacpp is not installed: pip install xllamacpp")
    found = sorted(pathlib.Path(spec.origin).parent.glob("xllamacpp*.so"))
    lib = ctypes.CDLL(str(found[0]))
    pointer, i32 = ctypes.c_void_p, ctypes.c_int32
    for name, result, arguments in [
            ("llama_backend_init", None, []), ("llama_model_default_params", Block, []),
            ("llama_context_default_params", Block, []),
            ("llama_model_load_from_file", pointer, [ctypes.c_char_p, Block]),
            ("llama_init_from_model", pointer, [pointer, Block]), ("llama_model_get_vocab", pointer, [pointer]),
            ("llama_vocab_n_tokens", i32, [pointer]), ("llama_model_free", None, [pointer]), ("llama_free", None, [pointer]),
            ("llama_batch_init", Batch, [i32, i32, i32]), ("llama_decode", i32, [pointer, Batch]),
            ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), [pointer, i32]),
            ("llama_tokenize", i32, [pointer, ctypes.c_char_p, i32, ctypes.POINTER(i32), i32, ctypes.c_bool, ctypes.c_bool]),
            ("llama_log_set", None, [LOG, pointer])]:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Llama:
    """REQUIRES: one at a time; `vocabulary` alone loads no weights."""

    def __init__(self, path, vocabulary=False):
        self.lib, self.said = library(), []
        self.log = LOG(lambda level, text, _: self.said.append(text.decode("utf-8", "replace")))
        self.lib.llama_log_set(self.log, None)
        self.lib.llama_backend_init()
        params = self.lib.llama_model_default_params()
        if vocabulary:
            struct.pack_into("<?", params.bytes, VOCABULARY_ALONE, True)
        self.model = self.lib.llama_model_load_from_file(str(path).encode(), params)
        if not self.model:
            raise ValueError("".join(self.said).strip().splitlines()[-1] if self.said else "llama.cpp cannot load it")
        self.vocab = self.lib.llama_model_get_vocab(self.model)

    def ids(self, text, special=True, add=False):
        raw = text.encode()
        room = (ctypes.c_int32 * (len(raw) * 2 + 16))()
        n = self.lib.llama_tokenize(self.vocab, raw, len(raw), room, len(room), add, special)
        return list(room[:n])

    def logits(self, ids):
        params = self.lib.llama_context_default_params()
        for at, value in DEFAULTS.items():
            if struct.unpack_from("<i", params.bytes, at)[0] != value:
                raise SystemExit(f"this xllamacpp has another llama_context_params (byte {at}); known: 2026.10")
        struct.pack_into("<III", params.bytes, 0, max(64, len(ids)), max(64, len(ids)), max(64, len(ids)))
        struct.pack_into("<ii", params.bytes, THREADS, 1, 1)
        struct.pack_into("<i", params.bytes, FUSED, 0)
        struct.pack_into("<ii", params.bytes, TYPES, 0, 0)
        context = self.lib.llama_init_from_model(self.model, params)
        if not context:
            raise ValueError("".join(self.said).strip().splitlines()[-1])
        batch = self.lib.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
            batch.seq_id[i][0] = 0
        if self.lib.llama_decode(context, batch) != 0:
            raise ValueError("llama_decode failed")
        size = self.lib.llama_vocab_n_tokens(self.vocab)
        rows = [np.ctypeslib.as_array(self.lib.llama_get_logits_ith(context, i), (size,)).copy() for i in range(len(ids))]
        self.lib.llama_free(context)
        return np.stack(rows)

    def close(self):
        self.lib.llama_model_free(self.model)
