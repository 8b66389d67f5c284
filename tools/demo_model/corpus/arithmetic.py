"""Arithmetic, in digits and in words: sums, differences, products, comparisons, neighbours, parity, doubles, stories.

"What is 47 + 35?" -> "47 + 35 = 82."; "Forty-seven plus thirty-five?" -> "Forty-seven plus thirty-five is eighty-two."
Sums, differences and comparisons generalise: a pair of numbers is one key whatever the wording and the order. Products,
quotients and what is asked of one number are tables to learn by heart: there the key is the wording as well.
"""

import dataclasses
from collections.abc import Callable

from . import world
from .exchange import ask, choose
from .wording import NUMBER_WORDS, capital, casually, converse, is_held_out, put

DOMAIN = "arithmetic"


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation on two numbers. Wordings have {a} and {b}, in digits or in words, and {A} for a capital letter."""

    name: str
    symbol: str
    word: str
    compute: Callable
    pair: Callable  # rng -> (a, b)
    in_digits: list  # wordings for digits alone
    in_both: list
    learnt_by_heart: bool = False
    going_on: tuple = ()  # wordings that go on from a result

    def key(self, a, b, question):
        if self.learnt_by_heart:
            return f"{self.name} {a} {b}: {question}"
        if self.name == "sum":
            a, b = sorted((a, b))
        return f"{self.name} {a} {b}"


def _any_two(rng):
    """Two numbers; at times small ones, which people try first."""
    limit = 20 if rng.randrange(6) == 0 else 100
    return rng.randrange(limit), rng.randrange(limit)


def _larger_first(rng):
    a, b = _any_two(rng)
    return max(a, b), min(a, b)


def _table_pair(rng):
    a, b = rng.randrange(1, 10), rng.randrange(1, 13)
    return (a, b) if rng.randrange(2) else (b, a)


def _long_pair(rng):
    a, b = rng.randrange(2, 10), rng.randrange(13, 100)
    return (a, b) if rng.randrange(2) else (b, a)


def _exact_pair(rng):
    a, b = rng.randrange(1, 13), rng.randrange(1, 10)
    return a * b, b


SUM = Operation(
    "sum", "+", "plus", lambda a, b: a + b, _any_two,
    ["What is {a} + {b}?", "What is {a} + {b}?", "{a} + {b} =", "{a}+{b}", "{a}+{b}?", "{a} + {b}?", "{a}+{b}=",
     "How much is {a} + {b}?", "Calculate {a} + {b}.", "What's {a} + {b}?", "Compute {a} + {b}.", "What is {a}+{b}?"],
    ["What is {a} plus {b}?", "{A} plus {b}?", "Add {a} and {b}.", "How much is {a} plus {b}?", "{A} plus {b} is?",
     "What is the sum of {a} and {b}?", "What do {a} and {b} make together?", "What's {a} plus {b}?"],
    going_on=("And plus {b}?", "Now add {b}.", "Add {b} to that.", "+ {b}?"))
DIFFERENCE = Operation(
    "difference", "-", "minus", lambda a, b: a - b, _larger_first,
    ["What is {a} - {b}?", "What is {a} - {b}?", "{a} - {b} =", "{a}-{b}", "{a}-{b}?", "{a} - {b}?", "{a}-{b}=",
     "How much is {a} - {b}?", "Calculate {a} - {b}.", "What's {a} - {b}?", "Compute {a} - {b}.", "What is {a}-{b}?"],
    ["What is {a} minus {b}?", "{A} minus {b}?", "Subtract {b} from {a}.", "Take {b} away from {a}.",
     "What is the difference between {a} and {b}?", "How much is {a} minus {b}?", "{A} minus {b} is?",
     "What's {a} minus {b}?"],
    going_on=("And minus {b}?", "Now subtract {b}.", "Take {b} away from that.", "- {b}?"))
PRODUCT = Operation(
    "product", "×", "times", lambda a, b: a * b, _table_pair,
    ["What is {a} × {b}?", "{a} × {b} =", "What is {a} * {b}?", "{a} * {b} =", "{a}*{b}", "{a}*{b}?", "{a} x {b}?",
     "Calculate {a} * {b}.", "{a} x {b} =", "What is {a} x {b}?"],
    ["What is {a} times {b}?", "{A} times {b}?", "Multiply {a} by {b}.", "How much is {a} times {b}?",
     "{A} times {b} is?", "What is the product of {a} and {b}?"], learnt_by_heart=True)
LONG_PRODUCT = dataclasses.replace(PRODUCT, pair=_long_pair)
QUOTIENT = Operation(
    "quotient", "/", "divided by", lambda a, b: a // b, _exact_pair,
    ["What is {a} / {b}?", "{a} / {b} =", "{a}/{b}", "{a}/{b}?", "Calculate {a} / {b}."],
    ["What is {a} divided by {b}?", "{A} divided by {b}?", "Divide {a} by {b}.", "How much is {a} divided by {b}?"],
    learnt_by_heart=True)


def _digit_turn(operation, a, b, question):
    c = operation.compute(a, b)
    equation = f"{a} {operation.symbol} {b} = {c}"
    return question, equation + ".", equation + "입니다.", str(c)


def _in_digits(operation):
    wordings = operation.in_digits + operation.in_both

    def kind(rng):
        a, b = operation.pair(rng)
        question = put(rng, wordings, a=a, b=b, A=a)
        turn = _digit_turn(operation, a, b, question)
        return ask(DOMAIN, operation.key(a, b, question), *turn)
    return kind


def _in_words(operation):
    def kind(rng):
        a, b = operation.pair(rng)
        c = operation.compute(a, b)
        first, second = NUMBER_WORDS[a], NUMBER_WORDS[b]
        question = put(rng, operation.in_both, a=first, b=second, A=capital(first))
        return ask(DOMAIN, operation.key(a, b, question), question,
                   f"{capital(first)} {operation.word} {second} is {NUMBER_WORDS[c]}.",
                   f"{a} {operation.symbol} {b} = {c}입니다.", NUMBER_WORDS[c])
    return kind


THREE_SUMMANDS = ["What is {a} + {b} + {c}?", "{a} + {b} + {c} =", "{a}+{b}+{c}", "{a} + {b} + {c}?",
                  "Add {a}, {b} and {c}.", "What is the sum of {a}, {b} and {c}?", "What is {a} plus {b} plus {c}?"]


def _three_summands(rng):
    a, b, c = (rng.randrange(10) for _ in range(3))
    equation = f"{a} + {b} + {c} = {a + b + c}"
    low, middle, high = sorted((a, b, c))
    return ask(DOMAIN, f"sum {low} {middle} {high}", put(rng, THREE_SUMMANDS, a=a, b=b, c=c), equation + ".",
               equation + "입니다.", str(a + b + c))


# Word -> (wordings, the one that is chosen, Korean).
COMPARISONS = {
    "larger": (["Which is larger, {a} or {b}?", "Which number is larger: {a} or {b}?", "Which is bigger, {a} or {b}?",
                "What is more, {a} or {b}?", "{A} or {b}, which is larger?"], max, "더 큰 수는 {}입니다."),
    "smaller": (["Which is smaller, {a} or {b}?", "Which number is smaller: {a} or {b}?", "What is less, {a} or {b}?",
                 "{A} or {b}, which is smaller?"], min, "더 작은 수는 {}입니다."),
}


def _two_different(rng):
    a, b = rng.sample(range(100), 2)
    return a, b, f"compare {min(a, b)} {max(a, b)}"


def _compare(rng):
    a, b, key = _two_different(rng)
    word = choose(rng, {"larger": 3, "smaller": 2})
    wordings, chosen, korean = COMPARISONS[word]
    best = chosen(a, b)
    spelled = NUMBER_WORDS.__getitem__ if rng.randrange(4) == 0 else str
    question = put(rng, wordings, a=spelled(a), b=spelled(b), A=capital(spelled(a)))
    return ask(DOMAIN, key, question, f"{capital(spelled(best))} is {word} than {spelled(a + b - best)}.",
               korean.format(best), spelled(best))


# Word -> (whether it is so, Korean stem for yes, for no).
CLAIMS = {"larger": (lambda a, b: a > b, "큽니다", "크지 않습니다"),
          "smaller": (lambda a, b: a < b, "작습니다", "작지 않습니다")}
CLAIM_WORDINGS = ["Is {a} {word} than {b}?", "Is {a} {word} than {b}?", "Is the number {a} {word} than {b}?",
                  "Tell me if {a} is {word} than {b}."]


def _claim(rng):
    a, b, key = _two_different(rng)
    word = rng.choice(("larger", "smaller"))
    is_so, korean_yes, korean_no = CLAIMS[word]
    question = put(rng, CLAIM_WORDINGS, a=a, b=b, word=word)
    topic = world.number_particle(a, "topic")
    if is_so(a, b):
        return ask(DOMAIN, key, question, f"Yes, {a} is {word} than {b}.", f"네, {topic} {b}보다 {korean_yes}.", "yes")
    return ask(DOMAIN, key, question, f"No, {a} is not {word} than {b}.", f"아니요, {topic} {b}보다 {korean_no}.", "no")


def _next(n):
    return f"{n + 1} comes after {n}.", f"{n} 다음 수는 {n + 1}입니다.", str(n + 1)


def _previous(n):
    return f"{n - 1} comes before {n}.", f"{n} 바로 앞의 수는 {n - 1}입니다.", str(n - 1)


def _parity(n):
    return (f"{n} is {'odd' if n % 2 else 'even'}.",
            f"{world.number_particle(n, 'topic')} {'홀수' if n % 2 else '짝수'}입니다.", "odd" if n % 2 else "even")


def _double(n):
    return f"Double {n} is {2 * n}.", f"{n}의 두 배는 {2 * n}입니다.", str(2 * n)


def _half(n):
    return f"Half of {n} is {n // 2}.", f"{n}의 절반은 {n // 2}입니다.", str(n // 2)


def _words_of(n):
    return capital(NUMBER_WORDS[n]) + ".", korean_number(n) + ".", NUMBER_WORDS[n]


def korean_number(n):
    """Sino-Korean: 147 is 백사십칠."""
    if n == 0:
        return "영"
    units = ((100, "백"), (10, "십"), (1, ""))
    parts = []
    for value, name in units:
        digit, n = divmod(n, value)
        if digit:
            parts.append(("" if digit == 1 and name else world.DIGITS_IN_KOREAN[digit]) + name)
    return "".join(parts)


# What is asked of one number: (the numbers, answers, wordings).
ASKED_OF_ONE = {
    "next": (range(198), _next, ["What comes after {n}?", "Which number comes after {n}?", "What is the next number "
             "after {n}?", "Which number follows {n}?", "What is one more than {n}?"]),
    "previous": (range(1, 199), _previous, ["What comes before {n}?", "Which number comes before {n}?",
                 "What is the number before {n}?", "What is one less than {n}?"]),
    "parity": (range(199), _parity, ["Is {n} even or odd?", "Is {n} odd or even?", "Is the number {n} even or odd?",
               "Even or odd: {n}?", "Tell me if {n} is even or odd."]),
    "double": (range(100), _double, ["What is double {n}?", "What is the double of {n}?", "Double {n}.",
               "What is twice {n}?", "How much is double {n}?"]),
    "half": (range(0, 199, 2), _half, ["What is half of {n}?", "What is a half of {n}?", "Halve {n}.",
             "How much is half of {n}?"]),
    "words": (range(199), _words_of, ["Write {n} in words.", "How do you write {n} in words?", "Spell the number {n}.",
              "{n} in words?", "What is {n} in words?"]),
}
ONE_NUMBER_WEIGHTS = {"next": 2, "previous": 2, "parity": 3, "double": 2, "half": 2, "words": 2}


def _of_one_number(rng):
    name = choose(rng, ONE_NUMBER_WEIGHTS)
    numbers, answers, wordings = ASKED_OF_ONE[name]
    n = rng.choice(numbers)
    question = put(rng, wordings, n=n)
    return ask(DOMAIN, f"{name} {n}: {question}", question, *answers(n))


IN_DIGITS = ["Write {words} in digits.", "Write {words} as a number.", "What is {words} in digits?",
             "{capital} in digits?", "How do you write {words} in digits?"]


def _digits_of(rng):
    n = rng.randrange(199)
    question = put(rng, IN_DIGITS, words=NUMBER_WORDS[n], capital=capital(NUMBER_WORDS[n]))
    return ask(DOMAIN, f"digits {n}: {question}", question, f"{n}.", f"{n}입니다.", str(n))


GAINS = ["{name} has {things} and gets {b} more. How many {plural} does {pronoun} have?",
         "{name} has {things}. {Pronoun} finds {b} more. How many {plural} does {pronoun} have now?",
         "{name} has {things}. {other} gives {name} {b} more. How many {plural} does {name} have?",
         "{name} had {things} and bought {b} more. How many {plural} does {name} have now?"]
LOSSES = ["{name} has {things} and gives {b} to {other}. How many {plural} does {pronoun} have?",
          "{name} has {things}. {Pronoun} loses {b}. How many {plural} does {pronoun} have now?",
          "{name} has {things}. {other} takes {b} of them. How many {plural} does {name} have?",
          "{name} had {things} and sold {b}. How many {plural} are left for {name}?"]
TOGETHER = ["{name} has {things} and {other} has {others}. How many {plural} do they have together?",
            "{name} has {things}. {other} has {others}. How many {plural} do they have in all?"]
COUNTERS = {"book": "권", "coat": "벌", "map": "장"}  # other things are counted with 개


def count_of(number, noun):
    return f"{number} {noun if number == 1 else world.plural_of(noun)}"


def count_in_korean(number, noun):
    """사과를 19개, as the object of a sentence."""
    return f"{world.particle(world.OBJECTS[noun], 'object')} {number}{COUNTERS.get(noun, '개')}"


NAMES = list(world.PEOPLE)
NOUNS = list(world.OBJECTS)


def _possession(operation, wordings):
    """A story of a person's things, of which the end is asked."""
    def kind(rng):
        a, b = operation.pair(rng)
        name, other = rng.sample(NAMES, 2)
        noun = rng.choice(NOUNS)
        pronoun = world.pronoun(name)
        question = rng.choice(wordings).format(
            name=name, other=other, things=count_of(a, noun), b=b, plural=world.plural_of(noun), Pronoun=pronoun,
            pronoun=pronoun.lower())
        c = operation.compute(a, b)
        return ask(DOMAIN, operation.key(a, b, question), question, f"{name} has {count_of(c, noun)}.",
                   f"{world.particle(world.PEOPLE[name], 'topic')} {count_in_korean(c, noun)} 가지고 있습니다.", str(c))
    return kind


def _together(rng):
    a, b = _any_two(rng)
    name, other = rng.sample(NAMES, 2)
    noun = rng.choice(NOUNS)
    question = rng.choice(TOGETHER).format(name=name, other=other, things=count_of(a, noun),
                                           others=count_of(b, noun), plural=world.plural_of(noun))
    return ask(DOMAIN, SUM.key(a, b, question), question, f"They have {count_of(a + b, noun)} together.",
               f"두 사람은 {count_in_korean(a + b, noun)} 가지고 있습니다.", str(a + b))


# How a result is asked about: (wordings, answers).
FOLLOW_UPS = {
    "parity": (["Is that even or odd?", "Is it even or odd?"], _parity),
    "next": (["What comes after that?", "And the next number?"], _next),
    "double": (["And double that?", "Now double it."], _double),
}


def _follow_up(rng, first):
    """A question about the number `first`, and its answers."""
    name = rng.choice(tuple(FOLLOW_UPS))
    wordings, answers = FOLLOW_UPS[name]
    return casually(rng, rng.choice(wordings)), *answers(first)


def _then_asked(rng):
    """A sum or a difference, then a question about its result."""
    operation = rng.choice((SUM, DIFFERENCE))
    a, b = operation.pair(rng)
    c = operation.compute(a, b)
    question = put(rng, operation.in_digits + operation.in_both, a=a, b=b, A=a)
    turns = [_digit_turn(operation, a, b, question)]
    if c < 100:
        turns.append(_follow_up(rng, c))
    return converse(DOMAIN, operation.key(a, b, question), turns)


def _then_continued(rng):
    """A sum or a difference, then another from its result, while that is one that may be seen."""
    operation, then = rng.choice((SUM, DIFFERENCE)), rng.choice((SUM, DIFFERENCE))
    a, b = operation.pair(rng)
    c = operation.compute(a, b)
    question = put(rng, operation.in_digits + operation.in_both, a=a, b=b, A=a)
    turns = [_digit_turn(operation, a, b, question)]
    d = rng.randrange(min(c, 99) + 1)
    if c < 100 and not is_held_out(DOMAIN, then.key(c, d, "")):
        turns.append(_digit_turn(then, c, d, put(rng, then.going_on, b=d)))
    return converse(DOMAIN, operation.key(a, b, question), turns)


KINDS = {
    _in_digits(SUM): 34, _in_words(SUM): 8, _in_digits(DIFFERENCE): 14, _in_words(DIFFERENCE): 4,
    _in_digits(PRODUCT): 5, _in_words(PRODUCT): 2, _in_digits(LONG_PRODUCT): 5, _in_digits(QUOTIENT): 2,
    _three_summands: 3, _compare: 5, _claim: 3, _of_one_number: 6, _digits_of: 2,
    _possession(SUM, GAINS): 5, _possession(DIFFERENCE, LOSSES): 4, _together: 3, _then_asked: 3, _then_continued: 4,
}


def exchange(rng):
    return choose(rng, KINDS)(rng)
