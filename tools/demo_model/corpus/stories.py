"""Stories of 3 to 7 sentences and questions about them (who has it now? where? why? first?), and stories on request.

A told story is a function of its request: what the request does not name follows from fixed tables.
"""

import random

from .exchange import Exchange, choose
from .storytelling import (CROWD, FEELINGS, GAINS, GAIN_BASES, Question, SIZE_PAST, Story, UNKNOWN, WEATHER_PAST,
                           past_copula, subject, thing, topic)
from .tales import DOMAIN, on_request
from .wording import casually
from .world import (COLOURS, COLOUR_LIST, DAYS, KOREAN, PLACES, PLACE_LIST, article, at_place, colour_name,
                    english_list, particle)


def pick(rng, table):
    """An item of the table, or None of an empty one."""
    return rng.choice(list(table.items())) if table else None


def known(adjective, noun):
    """"red ball" for an object with an adjective."""
    return (f"{adjective} {noun}", f"{KOREAN[adjective]} {KOREAN[noun]}") if adjective else (noun, KOREAN[noun])


def who_has(story):
    picked = pick(story.rng, story.holder)
    if not picked:
        return None
    item, holder = picked
    english = (f"Who has the {item} now?", f"Who has the {item}?", f"Who has the {item} at the end?")
    korean = (f"지금 누가 {thing(item)} 가지고 있습니까?", f"누가 {thing(item)} 가지고 있습니까?")
    if holder is None:
        return Question(english, korean, f"Nobody has the {item}.", f"아무도 {thing(item)} 가지고 있지 않습니다.",
                        "Nobody", "아무도 없음")
    noun, noun_korean = known(story.looks[item], item)
    return Question(english, korean, f"{holder} has the {noun}.",
                    f"{subject(holder)} {particle(noun_korean, 'object')} 가지고 있습니다.", holder, KOREAN[holder])


def where_is_person(story):
    picked = pick(story.rng, story.where)
    if not picked:
        return None
    person, place = picked
    return Question((f"Where is {person}?", f"Where is {person} now?", f"Where is {person} at the end of the story?"),
                    (f"{topic(person)} 어디에 있습니까?", f"{topic(person)} 지금 어디에 있습니까?"),
                    f"{person} is {at_place(place)}.", f"{topic(person)} {PLACES[place]}에 있습니다.",
                    at_place(place).capitalize(), PLACES[place])


def where_is_object(story):
    picked = pick(story.rng, story.lost)
    if not picked or story.holder[picked[0]]:
        return None
    item, (_, _, place) = picked
    return Question((f"Where is the {item}?", f"Where is the {item} now?"),
                    (f"{topic(item)} 어디에 있습니까?", f"{topic(item)} 지금 어디에 있습니까?"),
                    f"The {item} is {at_place(place)}.", f"{topic(item)} {PLACES[place]}에 있습니다.",
                    at_place(place).capitalize(), PLACES[place])


def where_gained(story):
    picked = pick(story.rng, story.gains)
    if not picked:
        return None
    item, (person, verb, place) = picked
    return Question((f"Where did {person} {GAIN_BASES[verb]} the {item}?",),
                    (f"{topic(person)} 어디에서 {thing(item)} {GAINS[verb][:-1]}까?",),
                    f"{person} {verb} the {item} {at_place(place)}.",
                    f"{topic(person)} {PLACES[place]}에서 {thing(item)} {GAINS[verb]}.",
                    at_place(place).capitalize(), PLACES[place])


def who_gained(story):
    picked = pick(story.rng, story.gains)
    if not picked:
        return None
    item, (person, verb, _) = picked
    return Question((f"Who {verb} the {item}?",), (f"누가 {thing(item)} {GAINS[verb][:-1]}까?",),
                    f"{person} {verb} the {item}.", f"{subject(person)} {thing(item)} {GAINS[verb]}.",
                    person, KOREAN[person])


def what_gained(story):
    picked = pick(story.rng, story.gains)
    if not picked:
        return None
    item, (person, verb, _) = picked
    if sum(who == person and how == verb for who, how, _ in story.gains.values()) > 1:
        return None  # two answers
    noun, noun_korean = known(story.looks[item], item)
    return Question((f"What did {person} {GAIN_BASES[verb]}?",), (f"{topic(person)} 무엇을 {GAINS[verb][:-1]}까?",),
                    f"{person} {verb} {article(noun)} {noun}.",
                    f"{topic(person)} {particle(noun_korean, 'object')} {GAINS[verb]}.",
                    f"{article(noun)} {noun}".capitalize(), noun_korean)


def what_colour(story):
    items = [item for item in story.gains if story.looks[item] in COLOURS]
    if not items:
        return None
    item = story.rng.choice(items)
    colour = story.looks[item]
    name = colour_name(colour)
    return Question((f"What colour was the {item}?", f"What color was the {item}?", f"What colour is the {item}?"),
                    (f"{topic(item)} 무슨 색이었습니까?", f"{topic(item)} 무슨 색입니까?"),
                    f"The {item} was {colour}.", f"{topic(item)} {past_copula(name)}.", colour.capitalize(), name)


def what_size(story):
    nouns = [noun for noun, adjective in story.looks.items() if adjective in SIZE_PAST]
    if not nouns:
        return None
    noun = story.rng.choice(nouns)
    size = story.looks[noun]
    return Question((f"Was the {noun} big or small?", f"What size was the {noun}?"),
                    (f"{topic(noun)} 컸습니까, 작았습니까?",),
                    f"The {noun} was {size}.", f"{topic(noun)} {SIZE_PAST[size]}.", size.capitalize(), SIZE_PAST[size])


def who_gave(story):
    picked = pick(story.rng, {item: pair for item, pair in story.given.items() if pair})
    if not picked:
        return None
    item, (giver, receiver) = picked
    return Question((f"Who gave the {item} to {receiver}?", f"Who gave {receiver} the {item}?"),
                    (f"누가 {KOREAN[receiver]}에게 {thing(item)} 주었습니까?",),
                    f"{giver} gave the {item} to {receiver}.",
                    f"{subject(giver)} {KOREAN[receiver]}에게 {thing(item)} 주었습니다.", giver, KOREAN[giver])


def to_whom(story):
    picked = pick(story.rng, {item: pair for item, pair in story.given.items() if pair})
    if not picked:
        return None
    item, (giver, receiver) = picked
    return Question((f"Who did {giver} give the {item} to?", f"To whom did {giver} give the {item}?"),
                    (f"{topic(giver)} 누구에게 {thing(item)} 주었습니까?",),
                    f"{giver} gave the {item} to {receiver}.",
                    f"{topic(giver)} {KOREAN[receiver]}에게 {thing(item)} 주었습니다.", receiver, KOREAN[receiver])


def who_met(story):
    picked = pick(story.rng, story.met)
    if not picked:
        return None
    animal, (person, _) = picked
    return Question((f"Who met the {animal}?", f"Who met a {animal}?"), (f"누가 {thing(animal)} 만났습니까?",),
                    f"{person} met the {animal}.", f"{subject(person)} {thing(animal)} 만났습니다.",
                    person, KOREAN[person])


def what_met(story):
    picked = pick(story.rng, story.met)
    if not picked or sum(person == picked[1][0] for person, _ in story.met.values()) > 1:
        return None
    animal, (person, _) = picked
    return Question((f"What animal did {person} meet?", f"Which animal did {person} meet?"),
                    (f"{topic(person)} 어떤 동물을 만났습니까?",), f"{person} met {article(animal)} {animal}.",
                    f"{topic(person)} {thing(animal)} 만났습니다.", f"{article(animal)} {animal}".capitalize(),
                    KOREAN[animal])


def where_met(story):
    picked = pick(story.rng, story.met)
    if not picked:
        return None
    animal, (person, place) = picked
    return Question((f"Where did {person} meet the {animal}?",), (f"{topic(person)} 어디에서 {thing(animal)} 만났습니까?",),
                    f"{person} met the {animal} {at_place(place)}.",
                    f"{topic(person)} {PLACES[place]}에서 {thing(animal)} 만났습니다.",
                    at_place(place).capitalize(), PLACES[place])


def how_felt(story):
    picked = pick(story.rng, story.feelings)
    if not picked:
        return None
    person, (feeling, _) = picked
    felt = FEELINGS[feeling][0]
    return Question((f"How did {person} feel?", f"How was {person} feeling?"), (f"{topic(person)} 기분이 어땠습니까?",),
                    f"{person} was {feeling}.", f"{topic(person)} {felt}.", feeling.capitalize(), felt)


def why_felt(story):
    picked = pick(story.rng, story.feelings)
    if not picked:
        return None
    person, (feeling, reason) = picked
    felt, reasons = FEELINGS[feeling]
    return Question((f"Why was {person} {feeling}?", f"Why did {person} feel {feeling}?"),
                    (f"{topic(person)} 왜 {felt[:-1]}까?",), f"{person} was {feeling} because {reason}.",
                    f"{topic(person)} {reasons[reason]} {felt}.", f"Because {reason}.", reasons[reason])


def what_first(story):
    line = next(line for line in story.lines if line.subject)
    return Question(("What happened first?", "What happened first in the story?"),
                    ("먼저 무슨 일이 있었습니까?", "처음에 무슨 일이 있었습니까?"),
                    f"First, {line.english}", f"먼저 {line.korean}", line.english, line.korean)


def what_last(story):
    line = story.lines[-1]
    return Question(("What happened last?", "What happened at the end?", "How does the story end?"),
                    ("마지막에 무슨 일이 있었습니까?",), f"In the end, {line.english}", f"마지막에 {line.korean}",
                    line.english, line.korean)


def how_many_people(story):
    n = len(story.seen)
    there = "is 1 person" if n == 1 else f"are {n} people"
    return Question(("How many people are in the story?", "How many people are there in the story?"),
                    ("이야기에 몇 명이 나옵니까?",), f"There {there} in the story.", f"이야기에 {n}명이 나옵니다.",
                    str(n), f"{n}명")


def who_is_there(story):
    names = [KOREAN[person] for person in story.seen]
    korean = " ".join([*(particle(name, "with") for name in names[:-1]), particle(names[-1], "subject")])
    return Question(("Who is in the story?", "Which people are in the story?"), ("이야기에 누가 나옵니까?",),
                    f"{english_list(story.seen)} {'is' if len(names) == 1 else 'are'} in the story.",
                    f"이야기에 {korean} 나옵니다.", ", ".join(story.seen), ", ".join(names))


def what_day(story):
    if not story.opening:
        return None
    day = story.opening[0]
    return Question(("What day was it?", "Which day was it?"), ("무슨 요일이었습니까?",), f"It was {day}.",
                    f"{past_copula(DAYS[day])}.", day, DAYS[day])


def what_weather(story):
    if not story.opening:
        return None
    weather = story.opening[1]
    return Question(("What was the weather like?", "How was the weather?"), ("날씨가 어땠습니까?",),
                    f"It was {weather}.", f"{WEATHER_PAST[weather]}.", weather.capitalize(), WEATHER_PAST[weather])


def is_person_at(story):
    picked = pick(story.rng, story.where)
    if not picked:
        return None
    person, place = picked
    asked = place if story.rng.random() < 0.5 else story.rng.choice(PLACE_LIST)
    answer, answer_korean = yes_no(asked == place)
    return Question((f"Is {person} {at_place(asked)}?", f"Is {person} {at_place(asked)} now?"),
                    (f"{topic(person)} {PLACES[asked]}에 있습니까?",), f"{answer}, {person} is {at_place(place)}.",
                    f"{answer_korean}, {topic(person)} {PLACES[place]}에 있습니다.", answer, answer_korean)


def has_person(story):
    picked = pick(story.rng, story.holder)
    if not picked:
        return None
    item, holder = picked
    asked = holder if holder and story.rng.random() < 0.5 else story.rng.choice(story.cast)
    answer, answer_korean = yes_no(asked == holder)
    text, korean = f"{holder or 'nobody'} has the {item}.", f"{thing(item)} 가지고 있습니다."
    korean = f"{subject(holder)} {korean}" if holder else f"아무도 {thing(item)} 가지고 있지 않습니다."
    return Question((f"Does {asked} have the {item}?", f"Does {asked} have the {item} now?"),
                    (f"{topic(asked)} {thing(item)} 가지고 있습니까?",), f"{answer}, {text}",
                    f"{answer_korean}, {korean}", answer, answer_korean)


def was_colour(story):
    items = [item for item in story.gains if story.looks[item] in COLOURS]
    if not items:
        return None
    item = story.rng.choice(items)
    colour = story.looks[item]
    asked = colour if story.rng.random() < 0.5 else story.rng.choice(COLOUR_LIST)
    asked_korean = past_copula(colour_name(asked))[:-1] + "까?"
    answer, answer_korean = yes_no(asked == colour)
    return Question((f"Was the {item} {asked}?", f"Is the {item} {asked}?"),
                    (f"{topic(item)} {asked_korean}",),
                    f"{answer}, the {item} was {colour}.",
                    f"{answer_korean}, {topic(item)} {past_copula(colour_name(colour))}.", answer, answer_korean)


def did_meet(story):
    """"Did Mina meet a fox?" of an animal that was met, perhaps by another person."""
    picked = pick(story.rng, story.met)
    if not picked:
        return None
    animal, (person, _) = picked
    asked = person if story.rng.random() < 0.5 else story.rng.choice(story.cast)
    answer, answer_korean = yes_no(asked == person)
    return Question((f"Did {asked} meet {article(animal)} {animal}?", f"Did {asked} meet the {animal}?"),
                    (f"{topic(asked)} {thing(animal)} 만났습니까?",), f"{answer}, {person} met the {animal}.",
                    f"{answer_korean}, {subject(person)} {thing(animal)} 만났습니다.", answer, answer_korean)


def not_said(story):
    """Of someone who is not in the story, or whose place it does not tell."""
    person = story.rng.choice(CROWD) if story.rng.random() < 0.5 else story.rng.choice(story.cast)
    if person in story.where:
        return None
    english, korean = [f"Where is {person}?"], [f"{topic(person)} 어디에 있습니까?"]
    if person not in story.seen:
        english += [f"How did {person} feel?", f"What did {person} find?"]
        korean += [f"{topic(person)} 기분이 어땠습니까?"]
    return Question(tuple(english), tuple(korean), *UNKNOWN, *UNKNOWN)


def yes_no(truth):
    return ("Yes", "네") if truth else ("No", "아니요")


QUESTIONS = {who_has: 5, where_is_person: 5, where_is_object: 2, where_gained: 3, who_gained: 3, what_gained: 3,
             what_colour: 4, what_size: 1, who_gave: 2, to_whom: 2, who_met: 2, what_met: 2, where_met: 2, how_felt: 3,
             why_felt: 3, what_first: 2, what_last: 2, how_many_people: 2, who_is_there: 2, what_day: 2,
             what_weather: 2, is_person_at: 2, has_person: 3, was_colour: 2, did_meet: 2, not_said: 1}
QUESTION_BAG = [question for question, weight in QUESTIONS.items() for _ in range(weight)]  # drawn from evenly


def questions_about(story, n):
    """n different questions."""
    asked = {}
    while len(asked) < n:
        kind = story.rng.choice(QUESTION_BAG)
        question = None if kind in asked else kind(story)
        if question:
            asked[kind] = question
    return list(asked.values())


LAYOUTS = ("{story}\n\n{question}", "{story}\n{question}", "{story} {question}", "{story}\n\nQuestion: {question}",
           "Read this story: {story}\n{question}", "Story: {story}\nQuestion: {question}", "{question}\n\n{story}",
           "Here is a story. {story} {question}")
N_QUESTIONS = {1: 5, 2: 3, 3: 2}
N_LINES = {3: 3, 4: 4, 5: 4, 6: 3, 7: 2}


def told_and_asked(rng):
    story = Story(rng, choose(rng, N_LINES))
    questions = questions_about(story, choose(rng, N_QUESTIONS))
    messages = []
    for i, question in enumerate(questions):
        text = casually(rng, rng.choice(question.english))
        text = text if i else rng.choice(LAYOUTS).format(story=story.english(), question=text)
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": question.answer}]
    return Exchange(DOMAIN, story.key(), messages, [q.answer_korean for q in questions], [q.short for q in questions])


KINDS = {told_and_asked: 8, on_request: 2}


def exchange(rng: random.Random):
    return choose(rng, KINDS)(rng)
