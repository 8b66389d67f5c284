"""A little Python, both ways: what a short function returns, and a short function for what is wanted.

Reading: a function stands in the question in a ```python fence, and the answer is "f(4) returns 14.". Its constants
and argument are the key; the names of function and parameter are wording. Writing: "Write a Python function f(x) that
adds 5 to x." is answered by the code in a fence, and "What does this function do?" by the phrase. The rows of READ and
WRITTEN are all there is: corpus_test.py runs every one.
"""

import dataclasses
import math
from collections.abc import Callable

from . import world
from .exchange import ask, choose
from .wording import converse, is_held_out, put

DOMAIN = "python_code"

FUNCTION_NAMES = "f g h run calc work solve compute helper apply change make test func step task".split()
WORDS = [word for word in (*world.ANIMALS, *world.FRUITS, *world.THINGS) if len(word) <= 5]


def fenced(code):
    return f"```python\n{code}\n```"


def literal(value):
    """The value as Python shows it, with double quotes."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return str(value)


# ---- Arguments: rng -> the arguments of a call, a tuple.

def _below(limit, start=0):
    return lambda rng: (rng.randrange(start, limit),)


def _two_below(limit):
    return lambda rng: (rng.randrange(limit), rng.randrange(limit))


def _larger_first(rng):
    a, b = rng.randrange(50), rng.randrange(50)
    return max(a, b), min(a, b)


def _word(rng):
    return (rng.choice(WORDS),)


def _two_words(rng):
    return tuple(rng.sample(WORDS, 2))


def _numbers(rng):
    return (rng.sample(range(50), rng.randrange(3, 6)),)


def _small_numbers(rng):
    return ([rng.randrange(10) for _ in range(rng.randrange(3, 5))],)


def _words(rng):
    return (rng.sample(WORDS, rng.randrange(3, 6)),)


# Parameter names by the sort of argument; a name says the sort, so that x * 3 and s * 3 are told apart.
NUMBER, TWO_NUMBERS = ("x", "n", "a", "y", "num", "value"), ("a, b", "x, y", "m, n")
TEXT, LIST = ("s", "text", "word"), ("items", "xs", "values", "data")
LIST_AND_ITEM = ("items, x", "xs, x", "values, v", "data, item")
TWO_TEXTS = ("s, t", "text, end", "first, second")


@dataclasses.dataclass(frozen=True)
class Read:
    """A function to read. The body has {x} and {y} for the parameters, {k} and {m} for the constants."""

    body: str
    parameters: tuple
    arguments: Callable  # rng -> tuple
    result: Callable  # (*arguments, k, m) -> value
    k: range | list = range(1)
    m: range | list = range(1)
    weight: int = 2


IF_LARGER = "if {x} > {k}:\n    return {m}\nreturn {x}"
IF_CHOICE = 'if {x} > {k}:\n    return "{m}"\nreturn "small"'
ADD_LOOP = "total = {m}\nfor i in range({x}):\n    total += {k}\nreturn total"
SUM_LOOP = "total = {k}\nfor i in range({x}):\n    total += i\nreturn total"
COUNT_LOOP = "count = 0\nfor item in {x}:\n    if item > {k}:\n        count += 1\nreturn count"

READ = [
    Read("return {x} + {k}", NUMBER, _below(50), lambda x, k, m: x + k, range(1, 50), weight=6),
    Read("return {x} - {k}", NUMBER, _below(60, 20), lambda x, k, m: x - k, range(1, 20), weight=4),
    Read("return {x} * {k}", NUMBER, _below(11), lambda x, k, m: x * k, range(2, 10), weight=2),
    Read("return {k} * {x} + {m}", NUMBER, _below(10), lambda x, k, m: k * x + m, range(2, 4), range(1, 10), 3),
    Read("return {x} * {x}", NUMBER, _below(11), lambda x, k, m: x * x, weight=1),
    Read("return {x} // 2", NUMBER, _below(41), lambda x, k, m: x // 2, weight=1),
    Read("return {x} % 2 == 0", NUMBER, _below(100), lambda x, k, m: x % 2 == 0),
    Read("return {x} > {k}", NUMBER, _below(100), lambda x, k, m: x > k, range(100)),
    Read(IF_LARGER, NUMBER, _below(60), lambda x, k, m: m if x > k else x, range(60), range(60), 4),
    Read(IF_CHOICE, NUMBER, _below(60), lambda x, k, m: m if x > k else "small", range(60), ["big", "large"], 4),
    Read('if {x} % 2 == 0:\n    return "even"\nreturn "odd"', NUMBER, _below(100),
         lambda x, k, m: "odd" if x % 2 else "even"),
    Read("if {x} < {k}:\n    return {x} + 1\nreturn {x} - 1", NUMBER, _below(50, 1),
         lambda x, k, m: x + 1 if x < k else x - 1, range(50), weight=3),
    Read(ADD_LOOP, NUMBER, _below(7, 1), lambda x, k, m: m + x * k, range(1, 6), range(10), 3),
    Read(SUM_LOOP, NUMBER, _below(7, 1), lambda x, k, m: k + sum(range(x)), range(20)),
    Read("return {x} + {y}", TWO_NUMBERS, _two_below(50), lambda x, y, k, m: x + y, weight=3),
    Read("return {x} - {y}", TWO_NUMBERS, _larger_first, lambda x, y, k, m: x - y, weight=3),
    Read("return {x} * {y}", TWO_NUMBERS, _two_below(10), lambda x, y, k, m: x * y, weight=1),
    Read("return max({x}, {y})", TWO_NUMBERS, _two_below(100), lambda x, y, k, m: max(x, y)),
    Read("return min({x}, {y})", TWO_NUMBERS, _two_below(100), lambda x, y, k, m: min(x, y)),
    Read("if {x} > {y}:\n    return {x}\nreturn {y}", TWO_NUMBERS, _two_below(100), lambda x, y, k, m: max(x, y)),
    Read("return {x} * {k}", TEXT, _word, lambda s, k, m: s * k, range(2, 4)),
    Read('return {x} + "{k}"', TEXT, _word, lambda s, k, m: s + k, ["!", "?", "s", "ing", "-x"]),
    Read('return "{k} " + {x}', TEXT, _word, lambda s, k, m: k + " " + s, ["big", "my", "the", "old", "red", "Hello"]),
    Read('return {x} + " " + {y}', TWO_TEXTS, _two_words, lambda s, t, k, m: s + " " + t),
    Read("return len({x})", TEXT, _word, lambda s, k, m: len(s)),
    Read("return {x}[0]", TEXT, _word, lambda s, k, m: s[0], weight=1),
    Read("return {x}[-1]", TEXT, _word, lambda s, k, m: s[-1], weight=1),
    Read("return {x}[{k}]", LIST, _numbers, lambda x, k, m: x[k], range(3), weight=3),
    Read("return {x}[{k}]", LIST, _words, lambda x, k, m: x[k], range(3)),
    Read("return {x}[-1]", LIST, _numbers, lambda x, k, m: x[-1]),
    Read("return len({x})", LIST, _numbers, lambda x, k, m: len(x)),
    Read("return sorted({x})", LIST, _numbers, lambda x, k, m: sorted(x), weight=3),
    Read("return max({x})", LIST, _numbers, lambda x, k, m: max(x)),
    Read("return min({x})", LIST, _numbers, lambda x, k, m: min(x)),
    Read("return sum({x})", LIST, _small_numbers, lambda x, k, m: sum(x), weight=1),
    Read("return {x}[::-1]", LIST, _numbers, lambda x, k, m: x[::-1], weight=3),
    Read("return {x}[::-1]", LIST, _words, lambda x, k, m: x[::-1]),
    Read("return {x}[1:]", LIST, _numbers, lambda x, k, m: x[1:]),
    Read("return {x}[:2]", LIST, _numbers, lambda x, k, m: x[:2]),
    Read("return {x} + [{k}]", LIST, _numbers, lambda x, k, m: x + [k], range(50)),
    Read("return [i for i in {x} if i > {k}]", LIST, _numbers, lambda x, k, m: [i for i in x if i > k], range(5, 45),
         weight=3),
    Read("return [i + {k} for i in {x}]", LIST, _small_numbers, lambda x, k, m: [i + k for i in x], range(1, 6)),
    Read("return {x}.count({k})", LIST, _small_numbers, lambda x, k, m: x.count(k), range(10), weight=1),
    Read(COUNT_LOOP, LIST, _numbers, lambda x, k, m: sum(i > k for i in x), range(5, 45)),
]
_READ_WEIGHTS = [row.weight for row in READ]

READ_WORDINGS = ["What does {call} return?", "What does {call} return?", "What is {call}?",
                 "What is the value of {call}?", "What is the result of {call}?"]
THEN_WORDINGS = ["And {call}?", "And what does {call} return?", "What about {call}?"]


def _indented(body):
    return "\n".join("    " + line for line in body.split("\n"))


def _define(name, parameters, body):
    return f"def {name}({parameters}):\n{_indented(body)}"


def _named(body, parameters, **constants):
    x, _, y = parameters.partition(", ")
    return body.format(x=x, y=y, **constants)


def _call_key(row, k, m, arguments):
    return f"{row.body} {k} {m} {literal(list(arguments))}"


def _returned(name, arguments, result):
    """The call, its answers."""
    call = f"{name}({', '.join(map(literal, arguments))})"
    value = literal(result)
    return call, f"{call} returns {value}.", f"{call}의 반환값은 {value}입니다.", value


def _read(rng):
    """What does f(4) return? At times a second call follows."""
    row = rng.choices(READ, _READ_WEIGHTS)[0]
    name, parameters = rng.choice(FUNCTION_NAMES), rng.choice(row.parameters)
    k, m = rng.choice(row.k), rng.choice(row.m)
    code = fenced(_define(name, parameters, _named(row.body, parameters, k=k, m=m)))
    arguments = row.arguments(rng)
    call, *answers = _returned(name, arguments, row.result(*arguments, k, m))
    question = rng.choice(READ_WORDINGS).format(call=call)
    question = f"{code}\n{question}" if rng.randrange(4) == 0 else f"{question}\n{code}"
    turns = [(question, *answers)]
    second = row.arguments(rng)
    if rng.randrange(6) == 0 and not is_held_out(DOMAIN, _call_key(row, k, m, second)):
        call, *answers = _returned(name, second, row.result(*second, k, m))
        turns.append((rng.choice(THEN_WORDINGS).format(call=call), *answers))
    return converse(DOMAIN, _call_key(row, k, m, arguments), turns)


# What a few lines print: (code, what {c} is).
PRINTED = [("x = {a}\ny = x + {b}\nprint(y)", lambda a, b: a + b), ("x = {a}\nx += {b}\nprint(x)", lambda a, b: a + b),
           ("a = {a}\nb = {b}\nprint(a + b)", lambda a, b: a + b), ("print({a} + {b})", lambda a, b: a + b),
           ("a = {a}\nb = {b}\nprint(max(a, b))", max), ("x = {a}\ny = {b}\nx = y\nprint(x)", lambda a, b: b),
           ("print(max({a}, {b}))", max), ("print(min({a}, {b}))", min)]
PRINT_WORDINGS = ["What does this print?", "What does this code print?", "What is printed?",
                  "What is the output of this code?"]


def _printed(rng):
    code, compute = rng.choice(PRINTED)
    a, b = rng.randrange(1, 50), rng.randrange(1, 50)
    value = compute(a, b)
    return ask(DOMAIN, f"{code} {a} {b}", rng.choice(PRINT_WORDINGS) + "\n" + fenced(code.format(a=a, b=b)),
               f"It prints {value}.", f"{value}{_subject(value)} 출력됩니다.", str(value))


def _subject(number):
    return world.number_particle(number, "subject")[len(str(number)):]


@dataclasses.dataclass(frozen=True)
class Written:
    """A function to write. Phrases and body have {x} and {y} for the parameters, {k} for the constant.

    plain is the phrase without names, for "Write a Python function that ...", where the function has the row's name.
    """

    name: str
    phrases: list
    plain: str
    parameters: tuple
    body: str
    reference: Callable  # (*arguments, k) -> value, for the test
    arguments: Callable
    k: range | list = range(1)


LARGE, SMALL = range(1, 100), range(2, 10)
LETTERS = list("abcdefghiklmnoprstuw")
SEPARATORS = ["-", ", ", " ", "/", ".", ":", "_", "+"]
CHOICE = "if {x} %s {y}:\n    return {x}\nreturn {y}"
FACTORIAL = "result = 1\nfor i in range(2, {x} + 1):\n    result *= i\nreturn result"


def _list_and_number(rng):
    items = [rng.randrange(6) for _ in range(5)]
    return items, rng.randrange(6)


W = Written
WRITTEN = [
    W("add", ["adds {k} to {x}", "returns {x} plus {k}"], "adds {k} to a number", NUMBER, "return {x} + {k}",
      lambda x, k: x + k, _below(50), LARGE),
    W("subtract", ["subtracts {k} from {x}", "returns {x} minus {k}"], "subtracts {k} from a number", NUMBER,
      "return {x} - {k}", lambda x, k: x - k, _below(50), LARGE),
    W("multiply", ["multiplies {x} by {k}", "returns {x} times {k}"], "multiplies a number by {k}", NUMBER,
      "return {x} * {k}", lambda x, k: x * k, _below(50), range(3, 100)),
    W("divide", ["divides {x} by {k}", "returns {x} divided by {k}"], "divides a number by {k}", NUMBER,
      "return {x} / {k}", lambda x, k: x / k, _below(50), SMALL),
    W("double", ["doubles {x}", "returns twice {x}"], "doubles a number", NUMBER, "return {x} * 2",
      lambda x, k: x * 2, _below(50)),
    W("half", ["halves {x}", "returns half of {x}"], "halves a number", NUMBER, "return {x} // 2",
      lambda x, k: x // 2, _below(50)),
    W("square", ["squares {x}", "returns the square of {x}"], "squares a number", NUMBER, "return {x} * {x}",
      lambda x, k: x * x, _below(50)),
    W("cube", ["returns the cube of {x}"], "returns the cube of a number", NUMBER, "return {x} ** 3",
      lambda x, k: x ** 3, _below(50)),
    W("negative", ["returns the negative of {x}"], "returns the negative of a number", NUMBER, "return -{x}",
      lambda x, k: -x, _below(50)),
    W("absolute", ["returns the absolute value of {x}"], "returns the absolute value of a number", NUMBER,
      "return abs({x})", lambda x, k: abs(x), _below(50, -50)),
    W("is_even", ["checks if {x} is even", "says whether {x} is even"], "checks if a number is even", NUMBER,
      "return {x} % 2 == 0", lambda x, k: x % 2 == 0, _below(50)),
    W("is_odd", ["checks if {x} is odd", "says whether {x} is odd"], "checks if a number is odd", NUMBER,
      "return {x} % 2 == 1", lambda x, k: x % 2 == 1, _below(50)),
    W("is_divisible", ["checks if {x} is divisible by {k}", "says whether {x} is divisible by {k}"],
      "checks if a number is divisible by {k}", NUMBER, "return {x} % {k} == 0", lambda x, k: x % k == 0, _below(50),
      range(3, 50)),
    W("is_larger", ["checks if {x} is larger than {k}", "says whether {x} is larger than {k}"],
      "checks if a number is larger than {k}", NUMBER, "return {x} > {k}", lambda x, k: x > k, _below(50), LARGE),
    W("is_smaller", ["checks if {x} is smaller than {k}", "says whether {x} is smaller than {k}"],
      "checks if a number is smaller than {k}", NUMBER, "return {x} < {k}", lambda x, k: x < k, _below(50), LARGE),
    W("is_equal", ["checks if {x} equals {k}", "says whether {x} equals {k}"], "checks if a number equals {k}", NUMBER,
      "return {x} == {k}", lambda x, k: x == k, _below(50), LARGE),
    W("sum_to", ["sums the numbers from 1 to {x}", "adds up the numbers from 1 to {x}"],
      "sums the numbers from 1 to n", ("n", *NUMBER), "return sum(range(1, {x} + 1))", lambda x, k: sum(range(x + 1)),
      _below(20)),
    W("factorial", ["returns the factorial of {x}"], "returns the factorial of a number", ("n", *NUMBER), FACTORIAL,
      lambda x, k: math.factorial(x), _below(8)),
    W("sum_two", ["returns the sum of {x} and {y}", "adds {x} and {y}"], "adds two numbers", TWO_NUMBERS,
      "return {x} + {y}", lambda x, y, k: x + y, _two_below(50)),
    W("difference", ["returns the difference of {x} and {y}", "subtracts {y} from {x}"], "subtracts two numbers",
      TWO_NUMBERS, "return {x} - {y}", lambda x, y, k: x - y, _two_below(50)),
    W("product", ["returns the product of {x} and {y}", "multiplies {x} and {y}"], "multiplies two numbers",
      TWO_NUMBERS, "return {x} * {y}", lambda x, y, k: x * y, _two_below(50)),
    W("larger", ["returns the larger of {x} and {y}", "gives the larger of {x} and {y}"],
      "returns the larger of two numbers", TWO_NUMBERS, CHOICE % ">", lambda x, y, k: max(x, y), _two_below(50)),
    W("smaller", ["returns the smaller of {x} and {y}", "gives the smaller of {x} and {y}"],
      "returns the smaller of two numbers", TWO_NUMBERS, CHOICE % "<", lambda x, y, k: min(x, y), _two_below(50)),
    W("average", ["returns the average of {x} and {y}"], "returns the average of two numbers", TWO_NUMBERS,
      "return ({x} + {y}) / 2", lambda x, y, k: (x + y) / 2, _two_below(50)),
    W("are_equal", ["checks if {x} and {y} are equal"], "checks if two numbers are equal", TWO_NUMBERS,
      "return {x} == {y}", lambda x, y, k: x == y, _two_below(3)),
    W("swap", ["swaps {x} and {y}"], "swaps two values", TWO_NUMBERS, "return {y}, {x}", lambda x, y, k: (y, x),
      _two_below(50)),
    W("count", ["counts how often {y} is in {x}", "counts the items of {x} equal to {y}"],
      "counts how often an item is in a list", LIST_AND_ITEM, "return {x}.count({y})", lambda x, y, k: x.count(y),
      _list_and_number),
    W("contains", ["checks if {y} is in {x}", "says whether {y} is in {x}"], "checks if an item is in a list",
      LIST_AND_ITEM, "return {y} in {x}", lambda x, y, k: y in x, _list_and_number),
    W("append", ["returns {x} with {y} at the end"], "adds an item to the end of a list", LIST_AND_ITEM,
      "return {x} + [{y}]", lambda x, y, k: [*x, y], _list_and_number),
    W("without", ["removes {y} from {x}"], "removes an item from a list", LIST_AND_ITEM,
      "return [i for i in {x} if i != {y}]", lambda x, y, k: [i for i in x if i != y], _list_and_number),
    W("count_of", ["counts how often {k} is in {x}", "counts the items of {x} equal to {k}"],
      "counts how often {k} is in a list", LIST, "return {x}.count({k})", lambda x, k: x.count(k), _small_numbers,
      LARGE),
    W("above", ["returns the items of {x} larger than {k}", "keeps the items of {x} larger than {k}"],
      "filters the numbers larger than {k} from a list", LIST, "return [i for i in {x} if i > {k}]",
      lambda x, k: [i for i in x if i > k], _numbers, LARGE),
    W("below", ["returns the items of {x} smaller than {k}", "keeps the items of {x} smaller than {k}"],
      "filters the numbers smaller than {k} from a list", LIST, "return [i for i in {x} if i < {k}]",
      lambda x, k: [i for i in x if i < k], _numbers, LARGE),
    W("evens", ["returns the even items of {x}", "keeps the even items of {x}"],
      "returns the even numbers of a list", LIST, "return [i for i in {x} if i % 2 == 0]",
      lambda x, k: [i for i in x if i % 2 == 0], _numbers),
    W("odds", ["returns the odd items of {x}", "keeps the odd items of {x}"], "returns the odd numbers of a list", LIST,
      "return [i for i in {x} if i % 2 == 1]", lambda x, k: [i for i in x if i % 2], _numbers),
    W("add_each", ["adds {k} to each item of {x}", "adds {k} to every item of {x}"],
      "adds {k} to each item of a list", LIST, "return [i + {k} for i in {x}]", lambda x, k: [i + k for i in x],
      _numbers, LARGE),
    W("multiply_each", ["multiplies each item of {x} by {k}", "multiplies every item of {x} by {k}"],
      "multiplies each item of a list by {k}", LIST, "return [i * {k} for i in {x}]", lambda x, k: [i * k for i in x],
      _numbers, LARGE),
    W("reverse", ["reverses {x}", "returns {x} reversed"], "reverses a list", LIST, "return {x}[::-1]",
      lambda x, k: x[::-1], _numbers),
    W("last", ["returns the last item of {x}", "gives the last item of {x}"], "returns the last item of a list", LIST,
      "return {x}[-1]", lambda x, k: x[-1], _numbers),
    W("first", ["returns the first item of {x}", "gives the first item of {x}"], "returns the first item of a list",
      LIST, "return {x}[0]", lambda x, k: x[0], _numbers),
    W("first_items", ["returns the first {k} items of {x}", "takes the first {k} items of {x}"],
      "returns the first {k} items of a list", LIST, "return {x}[:{k}]", lambda x, k: x[:k], _numbers, range(2, 50)),
    W("last_items", ["returns the last {k} items of {x}", "takes the last {k} items of {x}"],
      "returns the last {k} items of a list", LIST, "return {x}[-{k}:]", lambda x, k: x[-k:], _numbers, range(2, 50)),
    W("length", ["returns the length of {x}", "counts the items of {x}"], "returns the length of a list", LIST,
      "return len({x})", lambda x, k: len(x), _numbers),
    W("total", ["returns the sum of {x}", "adds up the items of {x}"], "returns the sum of a list", LIST,
      "return sum({x})", lambda x, k: sum(x), _numbers),
    W("mean", ["returns the average of {x}"], "returns the average of a list", LIST, "return sum({x}) / len({x})",
      lambda x, k: sum(x) / len(x), _numbers),
    W("largest", ["returns the largest item of {x}", "finds the largest item of {x}"],
      "returns the largest item of a list", LIST, "return max({x})", lambda x, k: max(x), _numbers),
    W("smallest", ["returns the smallest item of {x}", "finds the smallest item of {x}"],
      "returns the smallest item of a list", LIST, "return min({x})", lambda x, k: min(x), _numbers),
    W("ascending", ["sorts {x}", "returns {x} sorted"], "sorts a list", LIST, "return sorted({x})",
      lambda x, k: sorted(x), _numbers),
    W("descending", ["sorts {x} from largest to smallest", "sorts {x} in descending order"],
      "sorts a list in descending order", LIST, "return sorted({x}, reverse=True)",
      lambda x, k: sorted(x, reverse=True), _numbers),
    W("is_empty", ["checks if {x} is empty"], "checks if a list is empty", LIST, "return len({x}) == 0",
      lambda x, k: not x, _numbers),
    W("unique", ["removes duplicates from {x}"], "removes duplicates from a list", LIST,
      "return list(dict.fromkeys({x}))", lambda x, k: list(dict.fromkeys(x)), _small_numbers),
    W("join", ['joins {x} with "{k}"', 'joins the words in {x} with "{k}"'], 'joins a list of words with "{k}"',
      ("words", "names", "parts", *LIST), 'return "{k}".join({x})', lambda x, k: k.join(x), _words, SEPARATORS),
    W("split", ['splits {x} at "{k}"', 'splits {x} by "{k}"'], 'splits a text at "{k}"', TEXT,
      'return {x}.split("{k}")', lambda x, k: x.split(k), _word, SEPARATORS),
    W("repeat", ["repeats {x} {k} times", "returns {x} repeated {k} times"], "repeats a text {k} times", TEXT,
      "return {x} * {k}", lambda x, k: x * k, _word, range(2, 50)),
    W("upper", ["returns {x} in upper case", "writes {x} in capital letters"], "turns a text to upper case", TEXT,
      "return {x}.upper()", lambda x, k: x.upper(), _word),
    W("lower", ["returns {x} in lower case", "writes {x} in small letters"], "turns a text to lower case", TEXT,
      "return {x}.lower()", lambda x, k: x.lower(), _word),
    W("letters", ["counts the letters of {x}"], "counts the letters of a text", TEXT, "return len({x})",
      lambda x, k: len(x), _word),
    W("word_count", ["counts the words of {x}"], "counts the words of a text", TEXT, "return len({x}.split())",
      lambda x, k: len(x.split()), _word),
    W("begins", ['checks if {x} starts with "{k}"', 'says whether {x} starts with "{k}"'],
      'checks if a text starts with "{k}"', TEXT, 'return {x}.startswith("{k}")', lambda x, k: x.startswith(k), _word,
      LETTERS),
    W("ends", ['checks if {x} ends with "{k}"', 'says whether {x} ends with "{k}"'], 'checks if a text ends with "{k}"',
      TEXT, 'return {x}.endswith("{k}")', lambda x, k: x.endswith(k), _word, LETTERS),
    W("count_letter", ['counts the letter "{k}" in {x}', 'counts how often "{k}" is in {x}'],
      'counts the letter "{k}" in a text', TEXT, 'return {x}.count("{k}")', lambda x, k: x.count(k), _word, LETTERS),
    W("palindrome", ["checks if {x} is a palindrome"], "checks if a text is a palindrome", TEXT,
      "return {x} == {x}[::-1]", lambda x, k: x == x[::-1], _word),
    W("greet", ["greets {x}", 'returns "Hello, " and {x}'], "greets a person", ("name", "person", "who"),
      'return "Hello, " + {x}', lambda x, k: "Hello, " + x, _word),
    W("concat", ["joins the texts {x} and {y}"], "joins two texts", TWO_TEXTS, "return {x} + {y}",
      lambda x, y, k: x + y, _two_words),
]

NAMED_WORDINGS = ["Write a Python function {signature} that {does}.", "Define a function {signature} that {does}.",
                  "Write a Python function called {name} that {does}.",
                  "In Python, write a function {signature} that {does}.", "Python function {signature} that {does}",
                  "Can you write a Python function {signature} that {does}?"]
PLAIN_WORDINGS = ["Write a Python function that {does}.", "Write a Python function that {does}.",
                  "Write a function that {does} in Python.", "Give me a Python function that {does}.",
                  "Can you write a Python function that {does}?", "Python function that {does}",
                  "I need a Python function that {does}.", "In Python, write a function that {does}."]
# Rows of which a call is asked after they are written: what they return is small.
FOLLOWED = {"add", "is_even", "is_larger", "is_smaller", "larger", "smaller", "first", "last", "reverse", "ascending"}


def _write_turn(row, name, parameters, k, question):
    code = fenced(_define(name, parameters, _named(row.body, parameters, k=k)))
    return question, code, code, code


def _write_named(rng):
    row = rng.choice(WRITTEN)
    name, parameters, k = rng.choice(FUNCTION_NAMES), rng.choice(row.parameters), rng.choice(row.k)
    question = put(rng, NAMED_WORDINGS, signature=f"{name}({parameters})", name=name,
                   does=_named(rng.choice(row.phrases), parameters, k=k))
    turns = [_write_turn(row, name, parameters, k, question)]
    if row.name in FOLLOWED and rng.randrange(3) == 0:
        arguments = row.arguments(rng)
        call, *answers = _returned(name, arguments, row.reference(*arguments, k))
        if not is_held_out(DOMAIN, _call_key(row, k, 0, arguments)):
            turns.append((f"What does {call} return?", *answers))
    return converse(DOMAIN, f"write {row.name} {k} {name}({parameters})", turns)


def _write_plain(rng):
    """Without names: the function has the row's name, its parameters the first names. Learnt by heart."""
    row = rng.choice(WRITTEN)
    k = rng.choice(row.k)
    question = put(rng, PLAIN_WORDINGS, does=row.plain.format(k=k))
    turn = _write_turn(row, row.name, row.parameters[0], k, question)
    return ask(DOMAIN, f"write {row.name} {k}: {question}", *turn)


EXPLAIN_WORDINGS = ["What does this function do?", "What does this function do?", "Explain this function.",
                    "What does this code do?", "Explain this code."]


def _explain(rng):
    row = rng.choice(WRITTEN)
    name, parameters, k = rng.choice(FUNCTION_NAMES), rng.choice(row.parameters), rng.choice(row.k)
    code = fenced(_define(name, parameters, _named(row.body, parameters, k=k)))
    return ask(DOMAIN, f"explain {row.name} {k} {name}({parameters})", f"{rng.choice(EXPLAIN_WORDINGS)}\n{code}",
               f"It {_named(row.phrases[0], parameters, k=k)}.")


KINDS = {_read: 46, _printed: 8, _write_named: 22, _write_plain: 14, _explain: 10}


def exchange(rng):
    return choose(rng, KINDS)(rng)
