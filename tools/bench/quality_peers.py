"""The peers' rows of tools/bench/quality. They are deterministic, so each is kept as a JSON file the moment it is known,
under a digest of everything it follows from: a later run takes it from there, also after a kill."""
import hashlib
import json
import os
import pathlib
import subprocess
import sys

from benchlib import MODELS, PEER_PYTHON, ROOT, TORCH_PEER_PYTHON, Run, bench_program
from quality_source import gguf_bits, imatrix_of, write_gguf

HERE = pathlib.Path(__file__).parent
SHARED = ROOT / "../shared"
TEXT = SHARED / "text/wikitext2_tok_test.txt"
CALIBRATION = {"wiki": 43, "c4": 43, "code": 42}  # windows of each text, as in `ingot calibrate`'s default mix
CONTEXT = 512
LLAMA = ["Q4_K_M", "Q4_K_S", "Q3_K_M", "Q4_0", "IQ4_XS", "IQ3_S", "IQ3_XXS", "Q2_K", "IQ2_XS"]
TORCH = ["gptqmodel", "hqq", "bitsandbytes"]


def file_digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


class Cache:
    """Rows by the digest of their inputs; `folder` None keeps nothing."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder) if folder else None

    def _path(self, inputs):
        text = json.dumps(inputs, sort_keys=True)
        return self.folder / (hashlib.sha256(text.encode()).hexdigest()[:32] + ".json")

    def get(self, inputs):
        if self.folder is None:
            return None
        try:
            entry = json.loads(self._path(inputs).read_text())
            return entry["row"] if entry["inputs"] == inputs else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # absent or damaged: made anew

    def put(self, inputs, row):
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(inputs)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps({"inputs": inputs, "row": row}, indent=1))
        temporary.replace(path)


def ids_of(model, text):
    return [int(t) for t in Run([bench_program("tokenize"), model, text]).out.split()]


def calibration_ids(model):
    """Evenly spaced windows of the calibration texts."""
    ids = []
    for name, count in CALIBRATION.items():
        all_ids = ids_of(model, SHARED / f"text/{name}.txt")
        windows = len(all_ids) // CONTEXT
        for i in range(count):
            begin = i * windows // count * CONTEXT
            ids += all_ids[begin:begin + CONTEXT]
    return ids


class Side:
    """One script with its peers: what their rows follow from, and the job that makes them."""

    def __init__(self, script, python, sources):
        self.script, self.python = HERE / script, python
        self.sources = [self.script, HERE / "quality_windows.py", *sources]

    def versions(self):
        if not self.python.exists():
            sys.exit(f"{self.python} is absent: tools/bench/setup_peers makes it (or --no-peers)")
        run = Run([self.python, self.script, "--versions"])
        return json.loads(run.out.strip().splitlines()[-1])

    def rows(self, names, inputs, make_job, finish, cache, show):
        """The rows of the peers `names`, kept ones first; `make_job` is called only when one is missing."""
        versions = self.versions()
        inputs = {**inputs, "sources": {p.name: file_digest(p) for p in self.sources}}
        keys = {name: {**inputs, "peer": name, "version": versions[name]} for name in names}
        rows = {name: cache.get(key) for name, key in keys.items()}
        for name in names:
            if rows[name] is not None:
                show(rows[name], " (kept from an earlier run)")
        missing = [name for name in names if rows[name] is None]
        if missing:
            for line in self._run(make_job(missing)):
                made = json.loads(line)
                row = {**finish(made), "kl": made["kl_mean"], "stderr": made["kl_stderr"], "top1": made["top1"],
                       "ppl": made["delta_ppl_percent"], "seconds": 0, "positions": made["positions"]}
                cache.put(keys[made["peer"]], row)
                rows[made["peer"]] = row
                show(row)
        lost = [name for name, row in rows.items() if row is None]
        if lost:
            sys.exit(f"{self.script.name} gave no row for {', '.join(lost)}")
        return list(rows.values())

    def _run(self, job):
        with open(pathlib.Path(job["folder"]) / f"{self.script.stem}.log", "w+") as log:
            path = pathlib.Path(job["folder"]) / f"{self.script.stem}.json"
            path.write_text(json.dumps(job))
            with subprocess.Popen([self.python, self.script, path], stdout=subprocess.PIPE, stderr=log, text=True,
                                  cwd=job["folder"], env={**os.environ, "HF_HUB_OFFLINE": "1"}) as child:
                try:
                    for line in child.stdout:
                        begin = line.find('{"peer"')  # a package's progress bar may share its line
                        if begin >= 0:
                            yield line[begin:]
                except BaseException:  # an interrupt, too: its work would be lost anyhow
                    child.kill()
                    raise
            if child.returncode != 0:
                log.seek(0)
                sys.exit(f"{self.script.name}: exit {child.returncode}: {log.read().strip()[-2000:]}")


def _tokens(folder, name, ids):
    import numpy as np
    path = folder / name
    np.save(path, np.array(ids, dtype=np.int32))
    return str(path)


def _inputs(model, ids, windows, **more):
    return {"model": file_digest(pathlib.Path(model) / "model.safetensors"), "context": CONTEXT, "windows": windows,
            "ids": hashlib.sha256(json.dumps(ids).encode()).hexdigest(), **more}


def llama(args, model, folder, cache, show):
    names = [name for name in LLAMA if args.matches("llama.cpp " + name)]
    if not names:
        return []
    ids = ids_of(model, args.text)[:CONTEXT * args.windows]
    template = MODELS / "smollm2-135m-q4_1.gguf"

    def make_job(missing):
        import numpy as np
        write_gguf(model, template, folder / "source.gguf")
        np.savez(folder / "imatrix.npz", **imatrix_of(args.stats))
        return {"source": str(folder / "source.gguf"), "folder": str(folder), "peers": missing, "context": CONTEXT,
                "imatrix": str(folder / "imatrix.npz"), "tokens": _tokens(folder, "ids.npy", ids)}

    def finish(made):
        return {"label": "llama.cpp " + made["peer"], "kind": "llama.cpp", "bits": gguf_bits(made["file"]),
                "bytes": pathlib.Path(made["file"]).stat().st_size}

    side = Side("quality_llama.py", PEER_PYTHON, [HERE / "quality_source.py"])
    inputs = _inputs(model, ids, args.windows, stats=file_digest(args.stats), template=file_digest(template))
    return side.rows(names, inputs, make_job, finish, cache, show)


def torch(args, model, folder, cache, show):
    names = [name for name in TORCH if args.matches(name)]
    if not names:
        return []
    ids, calibration = ids_of(model, args.text)[:CONTEXT * args.windows], calibration_ids(model)

    def make_job(missing):
        return {"model": str(model), "folder": str(folder), "peers": missing, "context": CONTEXT,
                "tokens": _tokens(folder, "ids.npy", ids),
                "calibration": _tokens(folder, "calibration.npy", calibration)}

    def finish(made):
        return {"label": made["label"], "kind": "peer", "bits": made["bits"], "bytes": made["bytes"]}

    side = Side("quality_torch.py", TORCH_PEER_PYTHON, [])
    inputs = _inputs(model, ids, args.windows,
                     calibration=hashlib.sha256(json.dumps(calibration).encode()).hexdigest())
    return side.rows(names, inputs, make_job, finish, cache, show)
