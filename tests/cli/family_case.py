"""What the command-line tests of model families share: their random fixtures through pack, inspect, verify, eval and
run. A family's class derives from FamilyTests and Case, in this order."""
import json
import pathlib
import shutil

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures" / "models"


class FamilyTests:
    MODELS = []             # folders under tests/fixtures/models
    HAVE_TOKENIZERS = ()    # those that bring their own; the others get tokenizer()
    PROMPT = ""
    LETTERS = 80            # the text is made of so many characters from '!' on
    LEAST_KL = 1e-5         # of 8 bits a weight: rounding must be there to be seen
    LEAST_TEXT = 1          # bytes that 12 tokens make

    @staticmethod
    def tokenizer():
        """tokenizer.json as an object, of as many tokens as the fixtures have."""
        raise NotImplementedError

    @staticmethod
    def is_small(name):
        """Whether the tensor is no matrix of a product."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = cls.work / "text.txt"
        cls.text.write_text("".join(chr(33 + (i * i * 7 + i * 3) % cls.LETTERS) for i in range(700)))
        for name in cls.MODELS:
            shutil.copytree(FIXTURES / name, cls.work / name)
            if name not in cls.HAVE_TOKENIZERS:
                (cls.work / name / "tokenizer.json").write_text(json.dumps(cls.tokenizer()))

    def evaluate(self, target, source):
        run = self.run_ok("eval", target, "--reference", source, "--text", self.text, "--context", 600,
                          "--json", "-q")
        return json.loads(run.stdout)

    def test_every_matrix_takes_a_codec_and_nothing_else_does(self):
        for name in self.MODELS:
            with self.subTest(name):
                target = self.pack(f"{name}.ingot", "--codec", "int8_rtn", "--group", "16",
                                   model=self.work / name)
                tensors = json.loads(self.run_ok("inspect", target, "--json", "--tensors").stdout)["tensors"]
                for tensor in tensors:
                    small = self.is_small(tensor["name"])
                    self.assertEqual(tensor["codec"], "raw" if small else "int8_rtn", tensor["name"])
                    self.assertEqual(tensor["role"] == "vector", small, tensor["name"])
                self.run_ok("verify", target)
                result = self.evaluate(target, self.work / name)
                self.assertGreater(result["kl_mean"], self.LEAST_KL)
                self.assertLess(result["kl_mean"], 0.1)

    def test_exact_codecs_change_nothing(self):
        for name in self.MODELS:
            with self.subTest(name):
                target = self.pack(f"{name}.exact", "--codec", "lossless_v1", model=self.work / name)
                result = self.evaluate(target, self.work / name)
                self.assertEqual(result["kl_mean"], 0)
                self.assertEqual(result["perplexity"], result["reference_perplexity"])

    def test_run(self):
        for name in self.MODELS:
            with self.subTest(name):
                arguments = ["-p", self.PROMPT * 120, "-n", 12, "--greedy", "--exact", "--ignore-eos", "-q"]
                target = self.pack(f"{name}.run", "--codec", "raw", model=self.work / name)
                text = self.run_ok("run", target, *arguments).stdout
                self.assertGreaterEqual(len(text), self.LEAST_TEXT)
                self.assertEqual(self.run_ok("run", self.work / name, *arguments).stdout, text)
