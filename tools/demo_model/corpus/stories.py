"""Stories of 3 to 7 sentences and questions about them (who has it now? where? why? first?), and stories on request.

A told story is a function of its request: what the request does not name follows from fixed tables.
"""

import dataclasses
import random

from .exchange import Exchange, choose
from .wording import casually
from .world import (ANIMALS, COLOURS, DAYS, FRUITS, GUESTS, KOREAN, OBJECTS, PEOPLE, PLACES, SIZES, THINGS,
                    article, at_place, colour_name, ends_in_consonant, english_list, particle, pronoun)

DOMAIN = "stories"

# ---- Stories to ask about ----

# Verb -> its past in Korean, for what a person comes by.
GAINS = {"found": "찾았습니다", "bought": "샀습니다"}
GAIN_BASES = {"found": "find", "bought": "buy"}
# Verb -> its past in Korean with the particle of the place.
LOSSES = {"lost": ("에서", "잃어버렸습니다"), "left": ("에", "두고 왔습니다")}

SHOPS = ("market", "station", "village")  # where things are bought

# Feeling -> (its past in Korean, reasons with their Korean form).
FEELINGS = {
    "happy": ("기뻤습니다", {"the sun was warm": "햇살이 따뜻해서", "the music was good": "음악이 좋아서",
                        "it was a holiday": "휴일이라서", "the food was good": "음식이 맛있어서"}),
    "sad": ("슬펐습니다", {"the day was over": "하루가 끝나서", "a friend was away": "친구가 없어서",
                      "a cup was broken": "컵이 깨져서", "the park was empty": "공원이 비어 있어서"}),
    "tired": ("피곤했습니다", {"the day was long": "하루가 길어서", "the way was long": "길이 멀어서",
                         "there was much work": "일이 많아서"}),
    "hungry": ("배고팠습니다", {"there was no bread": "빵이 없어서", "dinner was late": "저녁이 늦어서",
                          "lunch was small": "점심이 적어서"}),
    "afraid": ("무서웠습니다", {"it was dark": "어두워서", "there was a loud noise": "큰 소리가 나서",
                          "the wind was strong": "바람이 강해서"}),
    "proud": ("자랑스러웠습니다", {"the work was done": "일이 끝나서", "the test went well": "시험을 잘 봐서"}),
    "cold": ("추웠습니다", {"it was winter": "겨울이라서", "the water was cold": "물이 차가워서",
                       "the door was open": "문이 열려 있어서"}),
    "angry": ("화가 났습니다", {"the bus was late": "버스가 늦어서", "the shop was closed": "가게가 닫혀 있어서"}),
}
WEATHER_PAST = {"sunny": "맑았습니다", "rainy": "비가 왔습니다", "cloudy": "흐렸습니다", "snowy": "눈이 왔습니다",
                "windy": "바람이 불었습니다"}
SIZE_PAST = {"big": "컸습니다", "small": "작았습니다"}
FRUIT_COLOURS = {"apple": ("red", "green"), "pear": ("green", "yellow"), "peach": ("pink", "white"),
                 "grape": ("green", "black"), "melon": ("green", "yellow"), "banana": ("yellow", "green"),
                 "lemon": ("yellow", "green"), "plum": ("red", "black")}

ALL_PEOPLE = (*PEOPLE, *GUESTS)
CROWD = [*PEOPLE] * 3 + [*GUESTS]  # drawn from evenly
PLACE_LIST, OBJECT_LIST, ANIMAL_LIST, COLOUR_LIST = list(PLACES), list(OBJECTS), list(ANIMALS), list(COLOURS)
SIZE_LIST, DAY_LIST, WEATHER_LIST, FEELING_LIST = list(SIZES), list(DAYS), list(WEATHER_PAST), list(FEELINGS)
MOVES_MAX = GIFTS_MAX = 2  # of one person, of one object

UNKNOWN = ("The story does not say.", "이야기에 나오지 않습니다.")


@dataclasses.dataclass
class Line:
    """One sentence: the subject and the rest in English, and the whole in Korean."""

    subject: str
    rest: str
    korean: str
    alone: bool = True  # whether no other person is in it, so that "she" in the next sentence is clear

    @property
    def english(self):
        return f"{self.subject} {self.rest}" if self.subject else self.rest


@dataclasses.dataclass
class Question:
    """Wordings and the answer, in English and Korean."""

    english: tuple
    korean: tuple
    answer: str
    answer_korean: str
    short: str
    short_korean: str


def topic(word):
    return particle(KOREAN[word], "topic")


def subject(word):
    return particle(KOREAN[word], "subject")


def thing(word):
    return particle(KOREAN[word], "object")


def past_copula(korean):
    return korean + ("이었습니다" if ends_in_consonant(korean) else "였습니다")


class Story:
    """A story as it grows: its lines, where everyone is, who has what."""

    def __init__(self, rng, n_lines):
        self.rng = rng
        self.lines = []
        self.cast = list(dict.fromkeys(rng.sample(CROWD, rng.choice((1, 2, 2, 3)))))
        self.objects = rng.sample(OBJECT_LIST, 2)  # those still to come by
        self.looks = {}  # object or animal -> adjective or ""
        self.where, self.moves, self.holder, self.gifts = {}, {}, {}, {}
        self.gains, self.given, self.lost, self.met, self.feelings = {}, {}, {}, {}, {}
        self.seen = []  # people, in order of appearance
        self.opening = None
        if rng.random() < 0.35:
            self.open()
        while len(self.lines) < n_lines:
            rng.choice(EVENTS)(self, rng.choice(self.cast))

    def add(self, people, rest, korean, alone=True):
        self.lines.append(Line(english_list(people), rest, korean, alone))
        self.see(*people)

    def see(self, *people):
        self.seen += [person for person in people if person not in self.seen]

    def open(self):
        day, weather = self.rng.choice(DAY_LIST), self.rng.choice(WEATHER_LIST)
        self.opening = day, weather
        self.lines.append(Line("", f"On {day} it was {weather}.", f"{DAYS[day]}에는 {WEATHER_PAST[weather]}."))

    def look(self, noun):
        """Gives the noun its adjective; the noun phrase in English and in Korean."""
        rng, adjective = self.rng, ""
        kind = rng.random()
        if kind < 0.6 and noun not in ANIMALS:
            adjective = rng.choice(FRUIT_COLOURS.get(noun, COLOUR_LIST))
        elif kind < 0.75 or noun in ANIMALS and kind < 0.4:
            adjective = rng.choice(SIZE_LIST[:2] if noun not in THINGS else SIZE_LIST)
        self.looks[noun] = adjective
        words = f"{adjective} {noun}" if adjective else noun
        return f"{article(words)} {words}", f"{KOREAN[adjective]} {thing(noun)}" if adjective else thing(noun)

    def go(self, person):
        if len(self.moves.get(person, ())) == MOVES_MAX:
            return
        place = self.rng.choice(PLACE_LIST)
        if place == self.where.get(person):
            return
        movers = [person]
        if len(self.cast) > 1 and self.rng.random() < 0.2:
            movers = [p for p in self.cast if p != person and len(self.moves.get(p, ())) < MOVES_MAX
                      and self.where.get(p) != place][:1] + [person]
        for mover in movers:
            self.where[mover] = place
            self.moves.setdefault(mover, []).append(place)
        who = particle(KOREAN[movers[0]], "with") + " " + topic(person) if len(movers) == 2 else topic(person)
        self.add(movers, f"went to the {place}.", f"{who} {PLACES[place]}에 갔습니다.", len(movers) == 1)

    def spot(self, person):
        """Where something happens to the person: (place, " in the forest", "숲에서 "), left out just after arriving."""
        place = self.where.get(person)
        just_came = place and self.lines and self.lines[-1].english == f"{person} went to the {place}."
        place = self.where[person] = place or self.rng.choice(PLACE_LIST)
        if just_came and self.rng.random() < 0.4:
            return place, "", ""
        return place, f" {at_place(place)}", f"{PLACES[place]}에서 "

    def gain(self, person):
        if not self.objects:
            return
        item = self.objects.pop()
        if person not in self.where and self.rng.random() < 0.35:
            self.where[person] = self.rng.choice(SHOPS)
        place, there, there_korean = self.spot(person)
        verb = "bought" if place in SHOPS and self.rng.random() < 0.8 else "found"
        english, korean = self.look(item)
        self.gains[item] = person, verb, place
        self.holder[item] = person
        self.add([person], f"{verb} {english}{there}.", f"{topic(person)} {there_korean}{korean} {GAINS[verb]}.")

    def give(self, _):
        if not self.holder or len(self.cast) == 1:
            return
        item = self.rng.choice(list(self.holder))
        giver = self.holder[item]
        if giver is None or self.gifts.get(item, 0) == GIFTS_MAX:
            return
        receiver = self.rng.choice([person for person in self.cast if person != giver])
        self.gifts[item] = self.gifts.get(item, 0) + 1
        self.given[item] = (giver, receiver) if self.gifts[item] == 1 else None  # None: given twice
        self.holder[item] = receiver
        self.add([giver], f"gave the {item} to {receiver}.",
                 f"{topic(giver)} {KOREAN[receiver]}에게 {thing(item)} 주었습니다.", False)
        self.see(receiver)

    def lose(self, person):
        items = [item for item, holder in self.holder.items() if holder == person]
        if not items or self.rng.random() < 0.5:
            return
        item, verb = self.rng.choice(items), self.rng.choice(("lost", "left"))
        place = self.where[person] = self.where.get(person) or self.rng.choice(PLACE_LIST)
        where, ended = LOSSES[verb]
        self.holder[item] = None
        self.lost[item] = person, verb, place
        self.add([person], f"{verb} the {item} {at_place(place)}.",
                 f"{topic(person)} {PLACES[place]}{where} {thing(item)} {ended}.")

    def meet(self, person):
        animal = self.rng.choice(ANIMAL_LIST)
        if animal in self.met or len(self.met) == 2:
            return
        place, there, there_korean = self.spot(person)
        english, korean = self.look(animal)
        self.met[animal] = person, place
        self.add([person], f"met {english}{there}.", f"{topic(person)} {there_korean}{korean} 만났습니다.")

    def feel(self, person):
        if person in self.feelings or not self.lines:
            return
        feeling = self.rng.choice(FEELING_LIST)
        felt, reasons = FEELINGS[feeling]
        reason = self.rng.choice(list(reasons))
        self.feelings[person] = feeling, reason
        self.add([person], f"was {feeling} because {reason}.", f"{topic(person)} {reasons[reason]} {felt}.")

    def key(self):
        return " ".join(line.english for line in self.lines)

    def english(self):
        """The text, now and then with "Then" and with "She" for a subject that the sentence before had too."""
        rng, out, before = self.rng, [], None
        for line in self.lines:
            again = before and before.alone and line.subject == before.subject and line.subject in ALL_PEOPLE
            who = pronoun(line.subject) if again and rng.random() < 0.4 else line.subject
            if before and who and rng.random() < 0.12:
                who = "Then " + (who if who == line.subject else who.lower())
            out.append(f"{who} {line.rest}" if who else line.rest)
            before = line
        return " ".join(out)

    def korean(self):
        return " ".join(line.korean for line in self.lines)


EVENTS = (Story.go, Story.go, Story.gain, Story.gain, Story.give, Story.give, Story.lose, Story.meet, Story.feel)


# ---- Questions: function(story) -> Question, or None where the story has nothing to ask ----

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


# ---- Stories on request ----

@dataclasses.dataclass(frozen=True)
class Habit:
    """What an animal is like in every story: English and Korean of its mood, its deed and the ending."""

    person: str  # who meets it in a story that names nobody
    place: str
    mood: tuple
    food: str
    deed: tuple
    ending: tuple


FRIENDS = ("They became good friends.", "그들은 좋은 친구가 되었습니다.")
HOME = ("In the evening they went home together.", "저녁에 그들은 함께 집에 갔습니다.")
AGAIN = ("They met again the next day.", "그들은 다음 날 다시 만났습니다.")
LAUGH = ("Everyone was happy.", "모두 기뻤습니다.")

HABITS = {
    "cat": Habit("Mina", "house", ("sleepy", "졸린"), "melon", ("danced on the roof", "지붕 위에서 춤을 추었습니다"), HOME),
    "dog": Habit("Juno", "park", ("happy", "행복한"), "banana", ("ran in a circle", "빙글빙글 달렸습니다"), FRIENDS),
    "fox": Habit("Sora", "forest", ("hungry", "배고픈"), "grape", ("showed the way home", "집에 가는 길을 알려 주었습니다"),
                 FRIENDS),
    "bear": Habit("Minsu", "mountain", ("tired", "피곤한"), "plum", ("told an old story", "옛날이야기를 했습니다"), AGAIN),
    "rabbit": Habit("Hana", "garden", ("shy", "수줍은"), "apple", ("jumped over a flower", "꽃을 뛰어넘었습니다"), LAUGH),
    "tiger": Habit("Taeho", "mountain", ("proud", "자랑스러운"), "peach", ("opened an old door", "오래된 문을 열었습니다"),
                   FRIENDS),
    "horse": Habit("Yuna", "farm", ("fast", "빠른"), "apple", ("ran like the wind", "바람처럼 달렸습니다"), HOME),
    "cow": Habit("Jisu", "farm", ("slow", "느린"), "pear", ("gave sweet milk", "맛있는 우유를 주었습니다"), LAUGH),
    "duck": Habit("Nari", "lake", ("funny", "재미있는"), "lemon", ("swam around the boat", "배 주위를 헤엄쳤습니다"), LAUGH),
    "bird": Habit("Haru", "garden", ("lonely", "외로운"), "grape", ("sang a new song", "새 노래를 불렀습니다"), AGAIN),
    "mouse": Habit("Bora", "kitchen", ("hungry", "배고픈"), "plum", ("found a lost coin", "잃어버린 동전을 찾았습니다"), FRIENDS),
    "frog": Habit("Dojin", "river", ("funny", "재미있는"), "lemon", ("jumped over a stone", "돌을 뛰어넘었습니다"), AGAIN),
    "goat": Habit("Dami", "village", ("angry", "화난"), "pear", ("climbed on a wall", "담에 올라갔습니다"), LAUGH),
    "sheep": Habit("Siwon", "farm", ("cold", "추운"), "apple", ("gave warm wool", "따뜻한 털을 주었습니다"), HOME),
    "lion": Habit("Suji", "village", ("lonely", "외로운"), "melon", ("smiled for the first time", "처음으로 웃었습니다"), FRIENDS),
    "wolf": Habit("Kyu", "forest", ("sad", "슬픈"), "peach", ("sang to the moon", "달에게 노래를 불렀습니다"), HOME),
}
# Person -> favourite colour and animal, in the order of the tables.
FAVOURITES = {person: (COLOUR_LIST[i % len(COLOUR_LIST)], ANIMAL_LIST[i % len(ANIMAL_LIST)])
              for i, person in enumerate(ALL_PEOPLE)}

# Object -> what happens with it: English and Korean.
OBJECT_EVENTS = {
    "apple": ("They cut the apple and shared it.", "그들은 사과를 잘라 나누어 먹었습니다."),
    "pear": ("They ate the pear under a tree.", "그들은 나무 아래에서 배를 먹었습니다."),
    "peach": ("They planted the stone of the peach.", "그들은 복숭아 씨를 심었습니다."),
    "grape": ("They threw the grape into the air.", "그들은 포도를 하늘로 던졌습니다."),
    "melon": ("They rolled the melon down the hill.", "그들은 멜론을 언덕 아래로 굴렸습니다."),
    "banana": ("They gave the banana to a monkey.", "그들은 바나나를 원숭이에게 주었습니다."),
    "lemon": ("They made tea with the lemon.", "그들은 레몬으로 차를 만들었습니다."),
    "plum": ("They hid the plum under a leaf.", "그들은 자두를 잎 아래에 숨겼습니다."),
    "ball": ("They played with the ball.", "그들은 공을 가지고 놀았습니다."),
    "book": ("They read the book under a tree.", "그들은 나무 아래에서 책을 읽었습니다."),
    "hat": ("The wind took the hat, but they caught it.", "바람에 모자가 날아갔지만 그들이 잡았습니다."),
    "cup": ("They filled the cup with water.", "그들은 컵에 물을 채웠습니다."),
    "key": ("They opened a secret door with the key.", "그들은 열쇠로 비밀의 문을 열었습니다."),
    "lamp": ("It was dark, but the lamp gave light.", "어두웠지만 등불이 빛났습니다."),
    "coat": ("It was cold, so they shared the coat.", "추워서 그들은 외투를 함께 입었습니다."),
    "box": ("They opened the box and found a coin.", "그들은 상자를 열고 동전을 찾았습니다."),
    "bag": ("They filled the bag with flowers.", "그들은 가방에 꽃을 채웠습니다."),
    "kite": ("The kite flew high into the sky.", "연이 하늘 높이 날았습니다."),
    "pen": ("They drew a picture with the pen.", "그들은 펜으로 그림을 그렸습니다."),
    "drum": ("They played the drum and danced.", "그들은 북을 치고 춤을 추었습니다."),
    "ring": ("The ring began to shine.", "반지가 빛나기 시작했습니다."),
    "map": ("They followed the map to a treasure.", "그들은 지도를 따라 보물을 찾았습니다."),
    "spoon": ("They made soup with the spoon.", "그들은 숟가락으로 수프를 만들었습니다."),
    "umbrella": ("It rained, so they shared the umbrella.", "비가 와서 그들은 우산을 함께 썼습니다."),
}


@dataclasses.dataclass
class Wish:
    """What a request names; None for what it leaves to the tables."""

    people: list
    animal: str | None = None
    item: str | None = None
    colour: str | None = None
    place: str | None = None

    def filled(self):
        animal = self.animal or FAVOURITES[self.people[0]][1]
        people = self.people or [HABITS[animal].person]
        return Wish(people, animal, self.item, self.colour or FAVOURITES[people[0]][0],
                    self.place or HABITS[animal].place)

    def english(self):
        noun = self.item and (f"{self.colour} {self.item}" if self.colour else self.item)
        named = [*self.people, *(f"{article(word)} {word}" for word in (self.animal, noun) if word)]
        return english_list(named) + (f" {at_place(self.place)}" if self.place else "")

    def korean(self):
        noun = self.item and (f"{COLOURS[self.colour]} {KOREAN[self.item]}" if self.colour else KOREAN[self.item])
        named = [*(KOREAN[person] for person in self.people), *([KOREAN[self.animal]] if self.animal else []),
                 *([noun] if noun else [])]
        text = " ".join([*(particle(word, "with") for word in named[:-1]), named[-1]])
        return (f"{PLACES[self.place]}에서의 " if self.place else "") + text


def wish(rng):
    people = list(dict.fromkeys(rng.sample(CROWD, rng.choice((1, 1, 1, 2)))))
    animal = rng.choice(ANIMAL_LIST) if rng.random() < 0.8 else None
    if animal and rng.random() < 0.08:
        people = []
    item = rng.choice(OBJECT_LIST) if rng.random() < 0.4 else None
    colour = rng.choice(COLOUR_LIST) if item in THINGS and rng.random() < 0.3 else None
    return Wish(people, animal, item, colour, rng.choice(PLACE_LIST) if rng.random() < 0.3 else None)


def tale(full):
    """The story of a filled wish, in English and in Korean."""
    habit, animal, people = HABITS[full.animal], full.animal, full.people
    who, she = english_list(people), pronoun(people[0]) if len(people) == 1 else "They"
    who_korean = [*(particle(KOREAN[p], "with") for p in people[:-1]), topic(people[-1])]
    food, mood = habit.food, habit.mood
    lines = [(f"One day {who} went to the {full.place}.", f"어느 날 {' '.join(who_korean)} {PLACES[full.place]}에 갔습니다."),
             (f"{she} met {article(mood[0])} {mood[0]} {animal}.", f"그곳에서 {mood[1]} {thing(animal)} 만났습니다."),
             (f"{she} gave the {animal} {article(food)} {food}.", f"{KOREAN[animal]}에게 {thing(food)} 주었습니다."),
             (f"The {animal} {habit.deed[0]}.", f"{topic(animal)} {habit.deed[1]}."), habit.ending]
    if full.item:
        colour = "" if full.item in FRUITS else full.colour
        noun = f"{colour} {full.item}".strip()
        noun_korean = f"{COLOURS[colour]} {thing(full.item)}" if colour else thing(full.item)
        lines[1:1] = [(f"{she} had {article(noun)} {noun}.", f"{' '.join(who_korean)} {noun_korean} 가지고 있었습니다.")]
        lines[-1:-1] = [OBJECT_EVENTS[full.item]]
    return " ".join(line[0] for line in lines), " ".join(line[1] for line in lines)


def tale_question(rng, full):
    """A question about a story just told: (English, answer, Korean)."""
    animal, habit = full.animal, HABITS[full.animal]
    who, food, place = english_list(full.people), habit.food, full.place
    last = topic(full.people[-1])
    who_korean = " ".join([*(particle(KOREAN[p], "with") for p in full.people[:-1]), last])
    gift = f"{article(food)} {food}"
    return rng.choice((
        (f"Where did {who} meet the {animal}?", f"{who} met the {animal} {at_place(place)}.",
         f"{who_korean} {PLACES[place]}에서 {thing(animal)} 만났습니다."),
        (f"What did {who} give the {animal}?", f"{who} gave the {animal} {gift}.",
         f"{who_korean} {KOREAN[animal]}에게 {thing(food)} 주었습니다."),
        (f"What did the {animal} do?", f"The {animal} {habit.deed[0]}.", f"{topic(animal)} {habit.deed[1]}."),
    ))


REQUESTS = ("Tell me a story about {}.", "Tell me a short story about {}.", "Write a story about {}.",
            "Can you tell me a story about {}?", "I would like a story about {}.", "A story about {}, please.",
            "Write a short story about {}.", "Please tell a story about {}.")
REQUESTS_KOREAN = ("{} 이야기를 해 주세요.", "{} 이야기를 들려주세요.", "{} 이야기를 써 주세요.")


def on_request(rng):
    asked = wish(rng)
    full = asked.filled()
    english, korean = tale(full)
    messages = [{"role": "user", "content": rng.choice(REQUESTS).format(asked.english())},
                {"role": "assistant", "content": english}]
    koreans = [korean]
    if rng.random() < 0.35:
        question, answer, answer_korean = tale_question(rng, full)
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        koreans.append(answer_korean)
    return Exchange(DOMAIN, f"tale {asked.english()}", messages, koreans)


KINDS = {told_and_asked: 8, on_request: 2}


def exchange(rng: random.Random):
    return choose(rng, KINDS)(rng)
