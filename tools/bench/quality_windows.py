"""Windows of text scored as llama-perplexity scores them: the second half of each, next-token distributions against
those of the source. What the peers' sides of tools/bench/quality share; numpy alone."""
import json
import pathlib

import numpy as np


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


class Windows:
    """The source's distributions lie in a file of the folder (float32: 50 MB a window at 49,152 tokens), so that one
    model at a time is in memory and a killed run loses one model's work."""

    def __init__(self, ids, context, folder):
        self.context, self.first = context, context // 2
        self.windows = np.asarray(ids[:len(ids) // context * context]).reshape(-1, context)
        self.path = pathlib.Path(folder) / "source_log_probabilities.npy"
        self.nll = []

    def _rows(self, logits, window):
        """logits(ids) -> [ids, vocabulary]; the last token of a window is only ever a target."""
        return log_softmax(np.asarray(logits(window[:-1].tolist()), dtype=np.float32)[self.first:])

    def _nll(self, rows, window):
        target = window[self.first + 1:]
        return float(-rows[np.arange(len(target)), target].mean())

    def add_source(self, logits):
        store = None
        for i, window in enumerate(self.windows):
            rows = self._rows(logits, window)
            if store is None:
                store = np.lib.format.open_memmap(self.path, mode="w+", dtype=np.float32,
                                                  shape=(len(self.windows), *rows.shape))
            store[i] = rows
            self.nll.append(self._nll(rows, window))
        store.flush()

    def score(self, logits):
        """Mean KL divergence with its standard error over windows, top-1 agreement, change of perplexity."""
        store = np.load(self.path, mmap_mode="r")
        kl, nll, agree = [], [], 0
        for i, window in enumerate(self.windows):
            base, rows = np.asarray(store[i]), self._rows(logits, window)
            kl.append(float((np.exp(base) * (base - rows)).sum(axis=1).mean()))
            nll.append(self._nll(rows, window))
            agree += int((rows.argmax(axis=1) == base.argmax(axis=1)).sum())
        positions = len(self.windows) * (self.context - 1 - self.first)
        return {"kl_mean": float(np.mean(kl)), "kl_stderr": float(np.std(kl, ddof=1) / np.sqrt(len(kl))),
                "top1": agree / positions,
                "delta_ppl_percent": 100 * float(np.exp(np.mean(nll) - np.mean(self.nll)) - 1),
                "positions": positions}


def emit(row):
    print(json.dumps(row), flush=True)
