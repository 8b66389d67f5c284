"""How a question is put, whatever it is about: number words, capitals, casual spelling and follow-up turns."""

from .exchange import Exchange

SMALL_NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
                 "sixteen seventeen eighteen nineteen").split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = {"first": "첫", "second": "두", "third": "세", "fourth": "네", "fifth": "다섯", "sixth": "여섯"}
CASUAL_ONE_IN = 6  # the share of questions that are spelled without care


def _in_words(number):
    if number < 20:
        return SMALL_NUMBERS[number]
    if number < 100:
        return TENS[number // 10] + ("-" + SMALL_NUMBERS[number % 10] if number % 10 else "")
    return SMALL_NUMBERS[number // 100] + " hundred" + (" and " + _in_words(number % 100) if number % 100 else "")


NUMBER_WORDS = [_in_words(number) for number in range(199)]


def capital(text):
    return text[0].upper() + text[1:]


def casually(rng, question):
    """The question, at times with a small letter first or without its last mark, as people type."""
    if rng.randrange(CASUAL_ONE_IN):
        return question
    style = rng.randrange(3)
    if style != 0 and not question.startswith("I "):
        question = question[0].lower() + question[1:]
    return question.rstrip("?.!") if style != 1 else question


def put(rng, wordings, **fields):
    """The question in one of its wordings."""
    return casually(rng, rng.choice(wordings).format(**fields))


def converse(domain, key, turns):
    """An exchange of several turns, each (question, answer, Korean answer, short answer)."""
    messages = []
    for question, answer, _, _ in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Exchange(domain, key, messages, [turn[2] for turn in turns], [turn[3] for turn in turns])


def is_held_out(domain, key):
    """For a follow-up that is a problem of its own: in training it must not give away one that is held out."""
    return Exchange(domain, key, []).held_out
