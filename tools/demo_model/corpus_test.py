"""The corpus says what is right, says it always, and keeps what is held out to itself.

    python3 -m unittest corpus_test      (standard library only; ten seconds)
"""

import contextlib
import io
import json
import random
import re
import unicodedata
import unittest

import corpus
from corpus import arithmetic, exchange, python_code, wording, world

SAMPLES = 8000  # of each domain
DOMAINS = ["arithmetic", "lists", "python_code", "facts", "stories", "korean", "structured", "functions"]
EQUATION = re.compile(r"(\d+) ([-+×/]) (\d+)(?: \+ (\d+))? = (\d+)")
IN_WORDS = re.compile(r"([A-Z][a-z -]*) (plus|minus|times) ([a-z -]+) is ([a-z -]+)\.")
COMPUTE = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "×": lambda a, b: a * b, "/": lambda a, b: a / b}
SYMBOLS = {"plus": "+", "minus": "-", "times": "×"}
NUMBER_OF = {words: number for number, words in enumerate(wording.NUMBER_WORDS)}
HELD_OUT_SUMS, FIRST_HELD_OUT_SUMS = 312, ["sum 1 1", "sum 2 5", "sum 6 7", "sum 7 9", "sum 4 11"]
FENCE = re.compile(r"```python\n(.*?)\n```", re.DOTALL)


def samples():
    """The same exchanges for every test: the domains of the list, each from two seeds."""
    for module in corpus.DOMAINS:
        for seed in (1, 2):
            rng = random.Random(seed)
            yield from (module.exchange(rng) for _ in range(SAMPLES // 2))


def answers_of(drawn):
    return [message for message in drawn.messages if message["role"] == "assistant"]


def texts_of(drawn):
    """Every text of an exchange that a model may see."""
    yield from (message["content"] for message in drawn.messages)
    yield from drawn.korean or ()
    yield from drawn.short or ()


def run(code):
    """The names that the code defines."""
    names = {}
    exec(code, names)
    return names


def printed(code):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        run(code)
    return output.getvalue().strip()


class CorpusTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.drawn = list(samples())

    def of(self, domain):
        return [drawn for drawn in self.drawn if drawn.domain == domain]

    def test_domains_stand_in_order(self):
        self.assertEqual([module.DOMAIN for module in corpus.DOMAINS], DOMAINS)
        for module in corpus.DOMAINS:
            self.assertTrue(all(drawn.domain == module.DOMAIN for drawn in self.of(module.DOMAIN)))

    def test_texts_are_nfc_without_spaces_around(self):
        for drawn in self.drawn:
            for text in texts_of(drawn):
                self.assertEqual(text, text.strip(), drawn.key)
                self.assertEqual(text, unicodedata.normalize("NFC", text))

    def test_roles(self):
        for drawn in self.drawn:
            roles = "".join(message["role"][0] for message in drawn.messages)
            self.assertRegex(roles, "^s?(u(at+)*a)+$", drawn.key)
            for message in drawn.messages:
                self.assertTrue(message["content"] or message.get("tool_calls"), drawn.messages)

    def test_each_answer_has_its_translations(self):
        for drawn in self.drawn:
            for texts in (drawn.korean, drawn.short):
                self.assertTrue(texts is None or len(texts) == len(answers_of(drawn)), drawn.key)

    def test_an_answer_follows_from_what_was_said(self):
        """In every style: the same messages (and functions) never have two answers, not even in two domains."""
        for style in ("plain", "korean", "short"):
            known = {}
            for drawn in self.drawn:
                said = json.dumps(drawn.tools)
                texts = iter(getattr(drawn, style, None) or [m["content"] for m in answers_of(drawn)])
                for message in drawn.messages:
                    if message["role"] == "assistant":
                        message = {**message, "content": next(texts)}
                        self.assertEqual(known.setdefault(said, message), message, said)
                    said += json.dumps(message)

    def test_the_split_is_stable(self):
        """Models are published with a score on what is held out, so the split may not move."""
        held_out = [key for key in (f"sum {a} {b}" for b in range(100) for a in range(b + 1))
                    if wording.is_held_out("arithmetic", key)]
        self.assertEqual(len(held_out), HELD_OUT_SUMS)
        self.assertEqual(held_out[:5], FIRST_HELD_OUT_SUMS)

    def test_each_domain_holds_some_out(self):
        for domain in DOMAINS:
            share = sum(drawn.held_out for drawn in self.of(domain)) / SAMPLES
            self.assertAlmostEqual(share, 1 / exchange.HELD_OUT_ONE_IN, delta=0.02, msg=domain)

    def test_sums_are_right(self):
        for drawn in self.drawn:
            for text in texts_of(drawn):
                for a, symbol, b, c, result in EQUATION.findall(text):
                    self.assertEqual(COMPUTE[symbol](int(a), int(b)) + int(c or 0), int(result), text)

    def test_sums_in_words_are_right(self):
        for drawn in self.of("arithmetic"):
            for message in answers_of(drawn):
                for a, word, b, result in IN_WORDS.findall(message["content"]):
                    value = COMPUTE[SYMBOLS[word]](NUMBER_OF[a.lower()], NUMBER_OF[b])
                    self.assertEqual(wording.NUMBER_WORDS[value], result)

    def test_training_never_shows_a_held_out_sum(self):
        operations = {"+": arithmetic.SUM, "-": arithmetic.DIFFERENCE}
        for drawn in self.of("arithmetic") + self.of("korean"):
            if drawn.held_out:
                continue
            for text in texts_of(drawn):
                for a, symbol, b, c, _ in EQUATION.findall(text):
                    if symbol in operations and not c:
                        key = operations[symbol].key(int(a), int(b), "")
                        self.assertFalse(wording.is_held_out("arithmetic", key), drawn.messages)

    def test_json_parses(self):
        for drawn in self.drawn:
            for message in drawn.messages:
                if message["role"] != "user" and message["content"].startswith("{"):
                    json.loads(message["content"])
                for call in message.get("tool_calls", ()):
                    json.dumps(call["function"]["arguments"])


class PythonTest(unittest.TestCase):
    """What the corpus says about Python is what Python says."""

    @classmethod
    def setUpClass(cls):
        rng = random.Random(3)
        cls.drawn = [python_code.exchange(rng) for _ in range(SAMPLES)]

    def test_calls_return_what_is_said(self):
        """Code of a question or of an answer, and the calls that are asked of it."""
        for drawn in self.drawn:
            names, call = {}, re.compile(r"^(\w+\(.*\)) returns (.*)\.$")
            for message in drawn.messages:
                fence = FENCE.search(message["content"])
                said = call.match(message["content"])
                if fence and "print(" not in fence[1]:
                    names = run(fence[1])
                if said and message["role"] == "assistant":
                    self.assertEqual(python_code.literal(eval(said[1], names)), said[2])

    def test_prints_what_is_said(self):
        for drawn in self.drawn:
            question, answer = (message["content"] for message in drawn.messages[:2])
            if answer.startswith("It prints "):
                self.assertEqual(f"It prints {printed(FENCE.search(question)[1])}.", answer)

    def test_written_functions_do_what_is_wanted(self):
        rng = random.Random(4)
        for row in python_code.WRITTEN:
            for parameters in row.parameters:
                for k in row.k:
                    body = python_code._named(row.body, parameters, k=k)
                    function = run(python_code._define("f", parameters, body))["f"]
                    arguments = row.arguments(rng)
                    self.assertEqual(function(*arguments), row.reference(*arguments, k), (row.name, arguments, k))

    def test_rows_are_told_apart(self):
        """No two rows are wanted in the same words, and no two say of the same code that it does different things."""
        wanted, explained = {}, {}
        for row in python_code.WRITTEN:
            for k in row.k:
                self.assertEqual(wanted.setdefault(row.plain.format(k=k), row.name), row.name)
                for parameters in row.parameters:
                    for phrase in row.phrases:
                        phrase = python_code._named(phrase, parameters, k=k)
                        self.assertEqual(wanted.setdefault((phrase, parameters), row.name), row.name)
                    code = parameters + python_code._named(row.body, parameters, k=k)
                    self.assertEqual(explained.setdefault(code, row.name), row.name)


class WordingTest(unittest.TestCase):
    def test_number_words(self):
        for number, words in {0: "zero", 13: "thirteen", 40: "forty", 47: "forty-seven", 100: "one hundred",
                              123: "one hundred and twenty-three", 198: "one hundred and ninety-eight"}.items():
            self.assertEqual(wording.NUMBER_WORDS[number], words)

    def test_korean_numbers(self):
        for number, words in {0: "영", 7: "칠", 10: "십", 47: "사십칠", 100: "백", 123: "백이십삼"}.items():
            self.assertEqual(arithmetic.korean_number(number), words)

    def test_particles_follow_the_last_sound(self):
        for number, topic in {0: "0은", 1: "1은", 2: "2는", 4: "4는", 5: "5는", 6: "6은", 9: "9는", 10: "10은"}.items():
            self.assertEqual(world.number_particle(number, "topic"), topic)


if __name__ == "__main__":
    unittest.main()
