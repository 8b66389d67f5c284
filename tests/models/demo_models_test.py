"""Every model under models/ answers held-out questions of every domain through the served API."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "clients")]
from serving import POLYMATH, ROOT, Server  # noqa: E402  found through the path above

TOOL = ROOT / "tools" / "demo_model"
sys.path[:0] = [str(TOOL)]
import evaluate  # noqa: E402
from client import Server as Client  # noqa: E402
from conversations import DOMAIN_WEIGHTS  # noqa: E402

MODELS = ROOT / "models"
DEMO, DRAFT, DEEPSEEK = (MODELS / name for name in ("polymath-demo", "polymath-demo-draft", "polymath-demo-deepseek"))
ADAPTERS = {"capitals": MODELS / "polymath-demo-lora-capitals", "korean": MODELS / "polymath-demo-lora-korean"}
CASES = 24  # held-out questions of each domain
HANGUL = re.compile("[가-힣]")


class Served(unittest.TestCase):
    """A server of MODEL for all tests of a class."""

    MODEL = None

    @classmethod
    def setUpClass(cls):
        if cls.MODEL is None:
            raise unittest.SkipTest("names no model")
        cls.server = Server(model=cls.MODEL)
        cls.client = Client(f"http://127.0.0.1:{cls.server.port}")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def ask(self, *contents):
        """The answer to contents that are the user's and the assistant's in turn."""
        messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
        return self.ask_messages(messages)

    def ask_messages(self, messages):
        choice = self.client.post("/v1/chat/completions", messages=messages, temperature=0, max_tokens=192)["choices"][0]
        self.assertEqual(choice["finish_reason"], "stop", messages)
        return choice["message"]["content"]

    def assert_accuracy(self, share, style="plain", domains=tuple(DOMAIN_WEIGHTS), n=CASES):
        cases = evaluate.make_cases(n, style, domains)
        for name, row in evaluate.accuracy(self.client, cases).items():
            with self.subTest(domain=name):
                self.assertGreaterEqual(row["right"], share * row["of"], row)


class Demo(Served):
    MODEL = DEMO

    def test_every_domain(self):
        self.assert_accuracy(0.9)

    def test_styles_of_system_prompts(self):
        for style in ("korean", "short", "capitals", "ending"):
            self.assert_accuracy(0.75, style, n=6)

    def test_answers_in_the_language_of_the_question(self):
        self.assertRegex(self.ask("47 더하기 35는 얼마입니까?"), "82")
        self.assertRegex(self.ask("Translate into Korean: Mina went to the forest."), HANGUL)
        self.assertNotRegex(self.ask("What is 47 + 35?"), HANGUL)

    def test_json_by_a_schema(self):
        schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
                  "required": ["name", "age"]}
        answer = self.ask_messages([
            {"role": "system", "content": "Reply in JSON that follows this schema: " + json.dumps(schema)},
            {"role": "user", "content": "Mina is 7 years old and lives in Busan."}])
        self.assertEqual(json.loads(answer), {"name": "Mina", "age": 7})


class Deepseek(Served):
    MODEL = DEEPSEEK

    def test_every_domain(self):
        cases = evaluate.make_cases(CASES)
        table = evaluate.accuracy(self.client, cases)
        self.assertGreaterEqual(sum(row["right"] for row in table.values()), 0.85 * len(cases), table)


class Draft(Served):
    MODEL = DRAFT

    def test_is_often_right(self):
        demo = Server(model=DEMO)
        try:
            cases = evaluate.make_cases(6)
            table = evaluate.acceptance(Client(f"http://127.0.0.1:{demo.port}"), self.client, cases, ks=(4,))
        finally:
            demo.stop()
        self.assertGreaterEqual(table[4]["all"], 0.65, table)


class Adapters(unittest.TestCase):
    """The adapters' weights, added to the demo model's, change what it answers without being asked to."""

    def answers(self, style):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, TOOL / "merge_adapter.py", DEMO, ADAPTERS[style], folder], check=True)
            server = Server(model=folder)
            try:
                cases = evaluate.make_cases(16, style, ("arithmetic", "stories"))
                for case in cases:
                    case.messages = [m for m in case.messages if m["role"] != "system"]
                return evaluate.accuracy(Client(f"http://127.0.0.1:{server.port}"), cases)[f"style {style}"]
            finally:
                server.stop()

    def test_capitals(self):
        row = self.answers("capitals")
        self.assertGreaterEqual(row["right"], 0.8 * row["of"], row)

    def test_korean(self):
        row = self.answers("korean")
        self.assertGreaterEqual(row["right"], 0.8 * row["of"], row)


class Tampered(unittest.TestCase):
    def refusal(self, change):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(DEMO, folder, dirs_exist_ok=True)
            file = Path(folder) / "model.safetensors"
            file.write_bytes(change(file.read_bytes()))
            run = subprocess.run([POLYMATH, "run", folder, "--prompt", "hi"], capture_output=True, text=True, timeout=60,
                                 check=False)
            self.assertNotEqual(run.returncode, 0)
            return run.stderr

    def test_truncated(self):
        message = self.refusal(lambda data: data[:-1000])
        self.assertIn("model.safetensors", message)
        self.assertRegex(message, r"model\.\w+|lm_head")

    def test_a_header_that_lies(self):
        message = self.refusal(lambda data: data.replace(b'"BF16"', b'"F32" ', 1))
        self.assertIn("model.safetensors", message)
        self.assertRegex(message, r"model\.\w+|lm_head")


if __name__ == "__main__":
    unittest.main()
