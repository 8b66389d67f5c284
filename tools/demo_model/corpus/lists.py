"""Short lists of numbers (0-99) and of words, and the letters of a word: order, count, choose, change, spell.

"Sort these numbers: 9, 3, 5" -> "3, 5, 9"; "How many items are in this list: fox, cat?" -> "There are 2 items.". An
answer that is a list has no full stop and is the same in every language. A list and what is asked of it are one key in
every wording; the letters of one word are learnt by heart, so there the key is the wording as well.
"""

from . import world
from .exchange import ask, choose
from .wording import ORDINALS, capital, casually, converse, put

DOMAIN = "lists"

WORDS = [*world.ANIMALS, *world.OBJECTS, *world.PLACES, *world.COLOURS]
# Words that people try, beside the world's own, to be spelled and counted.
COMMON_WORDS = """
hello world sun moon star tree leaf rain snow wind cloud sky sea sand rock fire water milk bread rice egg fish meat salt
sugar cake soup tea juice table chair door window floor wall roof bed desk clock phone train bus car boat plane road
street city town king queen child baby friend mother father sister brother teacher doctor hand foot head eye ear nose
mouth arm leg hair face day night week month year time red blue green one two three four five six seven eight nine ten
big small old new good bad happy sad hot cold fast slow long short high low love music song game letter word name story
paper pencil computer python model list number flower spring summer autumn winter north south east west left right
""".split()
SPELLED = list(dict.fromkeys(WORDS + COMMON_WORDS + [name.lower() for name in world.PEOPLE]))

LENGTHS = {3: 5, 4: 5, 5: 3, 6: 1}
NONE, NONE_IN_KOREAN = "None.", "없습니다."


def _length(rng):
    return choose(rng, LENGTHS)


def _numbers(rng):
    return rng.sample(range(100), _length(rng))


def _words(rng):
    return rng.sample(WORDS, _length(rng))


def _either(rng):
    return _words(rng) if rng.randrange(2) else _numbers(rng)


def joined(items):
    return ", ".join(map(str, items))


def _shown(rng, items):
    """The list as a question shows it: mostly with commas."""
    style = rng.randrange(12)
    if style == 0:
        return " ".join(map(str, items))
    if style == 1:
        return f"{joined(items[:-1])} and {items[-1]}"
    return joined(items)


def _ask_list(key, question, items):
    """A question whose answer is a list, the same in Korean and in short."""
    if not items:
        return ask(DOMAIN, key, question, NONE, NONE_IN_KOREAN, "none")
    return ask(DOMAIN, key, question, joined(items), joined(items), joined(items))


def _noun(items):
    """What a list's items are called."""
    return "numbers" if isinstance(items[0], int) else "words"


# Name -> (what it is done to, the result, wordings with {list} and {noun}).
REARRANGED = {
    "sort up": (_numbers, sorted, [
        "Sort these numbers: {list}", "Sort the numbers {list}.", "Sort {list}.", "Sort: {list}", "sort {list}",
        "Sort {list} in ascending order.", "Sort these numbers from smallest to largest: {list}",
        "Put these numbers in order: {list}", "Put {list} in order, smallest first.",
        "Can you sort {list}?", "Arrange in ascending order: {list}"]),
    "sort down": (_numbers, lambda items: sorted(items, reverse=True), [
        "Sort these numbers in descending order: {list}", "Sort {list} in descending order.",
        "Sort these numbers from largest to smallest: {list}", "Sort {list} from largest to smallest.",
        "Put {list} in order, largest first.", "Arrange in descending order: {list}"]),
    "sort words": (_words, sorted, [
        "Sort these words: {list}", "Sort these words alphabetically: {list}", "Sort {list} alphabetically.",
        "Put these words in alphabetical order: {list}", "Sort {list} from a to z.", "Sort: {list}",
        "Sort {list}.", "Can you sort {list}?", "Arrange in alphabetical order: {list}"]),
    "reverse": (_either, lambda items: items[::-1], [
        "Reverse this list: {list}", "Reverse the list {list}.", "Reverse these {noun}: {list}", "Reverse {list}.",
        "Reverse: {list}", "Write {list} backwards.", "Write these {noun} in reverse order: {list}",
        "Can you reverse {list}?", "Turn this list around: {list}"]),
}


def _rearranged(name):
    draw, rearrange, wordings = REARRANGED[name]

    def kind(rng):
        items = draw(rng)
        question = put(rng, wordings, list=_shown(rng, items), noun=_noun(items))
        return _ask_list(f"{name} {joined(items)}", question, rearrange(items))
    return kind


# What is chosen of a list of numbers: name -> (condition on number and limit, wordings).
CHOSEN_NUMBERS = {
    "even": (lambda n, _: n % 2 == 0, [
        "Which of these numbers are even: {list}?", "Which numbers are even: {list}?", "List the even numbers: {list}",
        "Give me the even numbers in {list}.", "Find the even numbers in {list}."]),
    "odd": (lambda n, _: n % 2 == 1, [
        "Which of these numbers are odd: {list}?", "Which numbers are odd: {list}?", "List the odd numbers: {list}",
        "Give me the odd numbers in {list}.", "Find the odd numbers in {list}."]),
    "above": (lambda n, limit: n > limit, [
        "Which of these numbers are larger than {limit}: {list}?", "Which numbers are larger than {limit}: {list}?",
        "List the numbers larger than {limit}: {list}", "Give me the numbers above {limit} in {list}.",
        "Find the numbers larger than {limit} in {list}.", "Which of these are greater than {limit}: {list}?"]),
    "below": (lambda n, limit: n < limit, [
        "Which of these numbers are smaller than {limit}: {list}?", "Which numbers are smaller than {limit}: {list}?",
        "List the numbers smaller than {limit}: {list}", "Give me the numbers below {limit} in {list}.",
        "Find the numbers smaller than {limit} in {list}.", "Which of these are less than {limit}: {list}?"]),
}


def _chosen_numbers(rng):
    name = rng.choice(tuple(CHOSEN_NUMBERS))
    condition, wordings = CHOSEN_NUMBERS[name]
    items = _numbers(rng)
    limit = rng.randrange(10, 90)
    question = put(rng, wordings, list=joined(items), limit=limit)
    key = f"{name} {limit} of {joined(items)}" if "{limit}" in wordings[0] else f"{name} of {joined(items)}"
    return _ask_list(key, question, [n for n in items if condition(n, limit)])


BEGIN = ["Which of these words begin with {letter}: {list}?", "Which words start with {letter}: {list}?",
         "List the words that begin with {letter}: {list}", "Find the words that start with {letter} in {list}.",
         "Give me the words in {list} that begin with {letter}."]


def _begin_with(rng):
    items = _words(rng)
    letter = rng.choice(items)[0] if rng.randrange(10) else rng.choice("abcdefghiklmnoprstuw")
    # A second word of the letter makes the question worth asking.
    same = [word for word in WORDS if word[0] == letter and word not in items]
    if same and rng.randrange(2):
        items[rng.randrange(len(items))] = rng.choice(same)
    question = put(rng, BEGIN, list=joined(items), letter=letter)
    return _ask_list(f"begin {letter} of {joined(items)}", question, [word for word in items if word[0] == letter])


COUNT = ["How many {noun} are in this list: {list}?", "How many {noun} are there: {list}?",
         "Count the {noun}: {list}", "Count these {noun}: {list}", "How many {noun} does this list have: {list}?"]
COUNT_KOREAN = {"items": "항목이 {}개 있습니다.", "numbers": "수가 {}개 있습니다.", "words": "단어가 {}개 있습니다."}


def _count(rng):
    items = _either(rng)
    noun = rng.choice(("items", _noun(items)))
    question = put(rng, COUNT, list=_shown(rng, items), noun=noun)
    return ask(DOMAIN, f"count {joined(items)}", question, f"There are {len(items)} {noun}.",
               COUNT_KOREAN[noun].format(len(items)), str(len(items)))


OCCUR = ["How many times does {item} occur in this list: {list}?", "How many times does {item} occur in {list}?",
         "How often does {item} appear in this list: {list}?", "Count how many times {item} occurs: {list}",
         "How often does {item} occur in {list}?"]


def _occurrences(rng):
    pool = rng.sample(WORDS, 3) if rng.randrange(2) else rng.sample(range(100), 3)
    item = pool[0]
    items = [rng.choice((item, item, *pool[1:])) for _ in range(rng.randrange(3, 7))]
    n = items.count(item)
    return ask(DOMAIN, f"occur {item} in {joined(items)}", put(rng, OCCUR, item=item, list=joined(items)),
               f"It occurs {n} {'time' if n == 1 else 'times'}.", f"{n}번 나옵니다.", str(n))


NTH = ["What is the {nth} item in this list: {list}?", "What is the {nth} item of {list}?",
       "Which item is {nth} in this list: {list}?", "Give me the {nth} item: {list}",
       "What is the {nth} of these: {list}?", "{Nth} item of {list}?"]


def _nth_item(rng):
    items = _either(rng)
    names = [*list(ORDINALS)[:len(items)], "last", "last"]
    nth = rng.choice(names)
    korean = "마지막" if nth == "last" else ORDINALS[nth] + " 번째"
    item = items[-1] if nth == "last" else items[names.index(nth)]
    question = put(rng, NTH, list=_shown(rng, items), nth=nth, Nth=capital(nth))
    return ask(DOMAIN, f"{nth} of {joined(items)}", question, f"The {nth} item is {item}.",
               f"{korean} 항목은 {item}입니다.", str(item))


EXTREMES = {"largest": (max, "가장 큰 수는 {}입니다."), "smallest": (min, "가장 작은 수는 {}입니다.")}
EXTREME = ["What is the {word} number in {list}?", "Which number is the {word}: {list}?",
           "What is the {word} of these numbers: {list}?", "Which of these numbers is the {word}: {list}?",
           "Find the {word} number: {list}", "What is the {word} of {list}?"]


def _extreme(rng):
    word = rng.choice(tuple(EXTREMES))
    extreme, korean = EXTREMES[word]
    items = _numbers(rng)
    best = extreme(items)
    return ask(DOMAIN, f"{word} of {joined(items)}", put(rng, EXTREME, word=word, list=_shown(rng, items)),
               f"The {word} number is {best}.", korean.format(best), str(best))


LONGEST = ["Which is the longest word: {list}?", "What is the longest of these words: {list}?",
           "Which of these words is the longest: {list}?", "Find the longest word in {list}."]


def _longest(rng):
    items = sorted(_words(rng), key=len)
    while len(items[-1]) == len(items[-2]):  # the longest must be one
        items = sorted(_words(rng), key=len)
    longest = items[-1]
    rng.shuffle(items)
    return ask(DOMAIN, f"longest of {joined(items)}", put(rng, LONGEST, list=joined(items)),
               f"The longest word is {longest}.", f"가장 긴 단어는 {longest}입니다.", longest)


CONTAINS = ["Is {item} in this list: {list}?", "Does this list contain {item}: {list}?", "Is {item} in {list}?",
            "Does {item} occur in this list: {list}?"]


def _contains(rng):
    items = _either(rng)
    yes = rng.randrange(2) == 0
    other = rng.choice(WORDS) if isinstance(items[0], str) else rng.randrange(100)
    item = rng.choice(items) if yes else other
    question = put(rng, CONTAINS, item=item, list=joined(items))
    key = f"{item} in {joined(items)}"
    if item in items:
        return ask(DOMAIN, key, question, f"Yes, {item} is in the list.", "네, 목록에 있습니다.", "yes")
    return ask(DOMAIN, key, question, f"No, {item} is not in the list.", "아니요, 목록에 없습니다.", "no")


# Name -> (the list after the change by `old`, an item, and `new`, which is not one; wordings).
CHANGES = {
    "remove": (lambda items, old, _: [item for item in items if item != old], [
        "Remove {old} from this list: {list}", "Remove {old} from {list}.", "Take {old} out of {list}.",
        "Delete {old} from this list: {list}", "Write this list without {old}: {list}"]),
    "append": (lambda items, _, new: [*items, new], [
        "Add {new} to the end of this list: {list}", "Append {new} to {list}.", "Put {new} at the end of {list}.",
        "Add {new} at the end: {list}"]),
    "prepend": (lambda items, _, new: [new, *items], [
        "Add {new} to the start of this list: {list}", "Put {new} at the start of {list}.",
        "Put {new} in front of {list}.", "Add {new} at the start: {list}"]),
    "replace": (lambda items, old, new: [new if item == old else item for item in items], [
        "Replace {old} with {new} in this list: {list}", "Replace {old} with {new} in {list}.",
        "Replace {old} by {new}: {list}", "Put {new} in place of {old}: {list}"]),
}
CHANGE_WEIGHTS = {"remove": 4, "append": 2, "prepend": 1, "replace": 3}


def _with_spare(rng):
    """A list and an item of its sort that is not in it."""
    *items, new = rng.sample(WORDS, _length(rng) + 1) if rng.randrange(2) else rng.sample(range(100), _length(rng) + 1)
    return items, new


def _changed(rng):
    name = choose(rng, CHANGE_WEIGHTS)
    change, wordings = CHANGES[name]
    items, new = _with_spare(rng)
    old = rng.choice(items)
    question = put(rng, wordings, old=old, new=new, list=joined(items))
    key = f"{name} {old if '{old}' in wordings[0] else ''} {new if '{new}' in wordings[0] else ''} {joined(items)}"
    return _ask_list(key, question, change(items, old, new))


FIRST_OF = ["What are the first {n} items of {list}?", "Give me the first {n} items of this list: {list}",
            "Take the first {n} of {list}."]
LAST_OF = ["What are the last {n} items of {list}?", "Give me the last {n} items of this list: {list}",
           "Take the last {n} of {list}."]


def _part(rng):
    items = _either(rng)
    n = rng.randrange(2, len(items))
    end, wordings, part = rng.choice((("first", FIRST_OF, items[:n]), ("last", LAST_OF, items[-n:])))
    return _ask_list(f"{end} {n} of {joined(items)}", put(rng, wordings, n=n, list=joined(items)), part)


SEPARATORS = {"dashes": "-", "spaces": " ", "commas": ", ", "dots": ".", "slashes": "/"}
SPELL = ["Spell {word} with {name}.", "Spell the word {word} with {name}.",
         "Write {word} with {name} between the letters.", "Split {word} into letters with {name}.",
         "Write the letters of {word} with {name}."]
SPELL_PLAIN = ["Spell {word}.", "Spell the word {word}.", "How do you spell {word}?", "Split {word} into letters."]


def _spell(rng):
    word = rng.choice(SPELLED)
    if rng.randrange(3) == 0:
        name, question = "dashes", put(rng, SPELL_PLAIN, word=word)
        key = f"spell {word} plainly: {question}"
    else:
        name = rng.choice(tuple(SEPARATORS))
        question = put(rng, SPELL, word=word, name=name)
        key = f"spell {word} {name}"
    answer = SEPARATORS[name].join(word)
    return ask(DOMAIN, key, question, answer, answer, answer)


JOIN = ["Join the letters: {letters}", "Join these letters: {letters}", "Which word do these letters make: {letters}?",
        "What does {letters} spell?", "Put the letters {letters} together."]


def _join_letters(rng):
    word = rng.choice(SPELLED)
    name = rng.choice(tuple(SEPARATORS))
    question = put(rng, JOIN, letters=SEPARATORS[name].join(word))
    return ask(DOMAIN, f"join {word} {name}", question, word, word, word)


REVERSE_LETTERS = ["Reverse the letters: {letters}", "Reverse these letters: {letters}",
                   "Write the letters {letters} backwards.", "Write these letters in reverse order: {letters}"]
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def _reverse_letters(rng):
    letters = rng.choice(SPELLED)[:6] if rng.randrange(3) == 0 else rng.sample(ALPHABET, _length(rng))
    separator = rng.choice((" ", "-", ", "))
    answer = separator.join(reversed(letters))
    question = put(rng, REVERSE_LETTERS, letters=separator.join(letters))
    return ask(DOMAIN, f"reverse letters {''.join(letters)}", question, answer, answer, answer)


# What is asked of one word: name -> (wordings, answer, Korean answer, short answer).
OF_A_WORD = {
    "length": (["How many letters does {word} have?", "How many letters are in the word {word}?",
                "How many letters has the word {word}?", "Count the letters of {word}."],
               lambda w: f"The word {w} has {len(w)} letters.", lambda w: f"{w}의 글자 수는 {len(w)}입니다.",
               lambda w: str(len(w))),
    "first letter": (["What is the first letter of {word}?", "Which letter does {word} begin with?",
                      "What letter does {word} start with?"],
                     lambda w: f"The first letter is {w[0]}.", lambda w: f"첫 글자는 {w[0]}입니다.", lambda w: w[0]),
    "last letter": (["What is the last letter of {word}?", "Which letter does {word} end with?",
                     "What letter does {word} end in?"],
                    lambda w: f"The last letter is {w[-1]}.", lambda w: f"마지막 글자는 {w[-1]}입니다.",
                    lambda w: w[-1]),
    "capitals": (["Write {word} in capital letters.", "Write {word} in capitals.", "Write {word} in upper case.",
                  "Put {word} in capital letters."], str.upper, str.upper, str.upper),
}


def _of_a_word(rng):
    name = rng.choice(tuple(OF_A_WORD))
    wordings, *answers = OF_A_WORD[name]
    word = rng.choice(SPELLED)
    question = put(rng, wordings, word=word)
    return ask(DOMAIN, f"{name} {word}: {question}", question, *(answer(word) for answer in answers))


OTHER_WAY = ["And the other way round?", "And in reverse?", "Now reverse it.", "Now the other way round."]
HOW_MANY = ["How many are there?", "How many {noun} are there?", "How many {noun} is that?"]
WHICH_EXTREME = ["Which is the {word}?", "And the {word}?", "What is the {word} number?"]


def _then_reversed(rng, items):
    answer = joined(items[::-1])
    return casually(rng, rng.choice(OTHER_WAY)), answer, answer, answer


def _then_counted(rng, items):
    noun, n = _noun(items), len(items)
    return put(rng, HOW_MANY, noun=noun), f"There are {n} {noun}.", COUNT_KOREAN[noun].format(n), str(n)


def _then_extreme(rng, items):
    if _noun(items) == "words":
        return _then_reversed(rng, items)
    word = rng.choice(tuple(EXTREMES))
    extreme, korean = EXTREMES[word]
    best = extreme(items)
    return put(rng, WHICH_EXTREME, word=word), f"The {word} number is {best}.", korean.format(best), str(best)


def _then_removed(rng, items):
    old = rng.choice(items)
    answer = joined(item for item in items if item != old)
    return put(rng, ("Now remove {old}.", "Now without {old}.", "And without {old}?"), old=old), answer, answer, answer


FOLLOW_UPS = (_then_reversed, _then_counted, _then_extreme, _then_removed)


def _then_asked(rng):
    """A list put in order, then a question about the result."""
    name = rng.choice(tuple(REARRANGED))
    draw, rearrange, wordings = REARRANGED[name]
    items = draw(rng)
    answer = joined(rearrange(items))
    question = put(rng, wordings, list=joined(items), noun=_noun(items))
    turns = [(question, answer, answer, answer), rng.choice(FOLLOW_UPS)(rng, rearrange(items))]
    return converse(DOMAIN, f"{name} {joined(items)}", turns)


KINDS = {
    _rearranged("sort up"): 12, _rearranged("sort down"): 7, _rearranged("sort words"): 8, _rearranged("reverse"): 8,
    _chosen_numbers: 9, _begin_with: 4, _count: 4, _occurrences: 5, _nth_item: 6, _extreme: 6, _longest: 2,
    _contains: 4, _changed: 8, _part: 3, _spell: 5, _join_letters: 3, _reverse_letters: 4, _of_a_word: 4,
    _then_asked: 6,
}


def exchange(rng):
    return choose(rng, KINDS)(rng)
