"""The stories that questions are asked about: people go, find, buy, give, lose and meet; a Story keeps account of it."""

import dataclasses

from .world import (ANIMALS, ANIMAL_LIST, COLOUR_LIST, DAYS, DAY_LIST, GUESTS, KOREAN, OBJECT_LIST, PEOPLE, PLACES,
                    PLACE_LIST, SIZE_LIST, THINGS, article, at_place, ends_in_consonant, english_list, particle,
                    pronoun)

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
WEATHER_LIST, FEELING_LIST = list(WEATHER_PAST), list(FEELINGS)
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
