"""Sentences of the world in English and in Korean, one translation each, and the questions that ask for it."""

from .exchange import ask
from .storytelling import CROWD, subject, thing, topic
from .wording import is_held_out
from .world import (ANIMALS, ANIMAL_LIST, CITIES, CITY_LIST, COLOUR_LIST, DAYS, FRUIT_LIST, KOREAN, OBJECT_LIST, PLACES,
                    PLACE_LIST, SIZE_LIST, THINGS, THING_LIST, article, at_place, colour_name, particle, plural_of,
                    toward)

DOMAIN = "korean"

BOTH_LIST = OBJECT_LIST + ANIMAL_LIST


# English -> (past, "찾았습니다", "찾을 것입니다", "찾지 못했습니다", nouns it is done to).
ACTIONS = {
    "find": ("found", "찾았습니다", "찾을 것입니다", "찾지 못했습니다", OBJECT_LIST),
    "buy": ("bought", "샀습니다", "살 것입니다", "사지 않았습니다", OBJECT_LIST),
    "lose": ("lost", "잃어버렸습니다", "잃어버릴 것입니다", "잃어버리지 않았습니다", THING_LIST),
    "see": ("saw", "보았습니다", "볼 것입니다", "보지 못했습니다", BOTH_LIST),
    "draw": ("drew", "그렸습니다", "그릴 것입니다", "그리지 않았습니다", BOTH_LIST),
    "eat": ("ate", "먹었습니다", "먹을 것입니다", "먹지 않았습니다", FRUIT_LIST),
    "meet": ("met", "만났습니다", "만날 것입니다", "만나지 못했습니다", ANIMAL_LIST),
}
ACTION_LIST = list(ACTIONS)
PAST_TIMES = {"yesterday": "어제", "today": "오늘", **{f"on {day}": f"{korean}에" for day, korean in DAYS.items()}}
PAST_TIME_LIST = list(PAST_TIMES)
COMPARISONS = {"bigger": "더 큽니다", "smaller": "더 작습니다", "faster": "더 빠릅니다", "slower": "더 느립니다",
               "stronger": "더 강합니다", "heavier": "더 무겁습니다"}
STATES = {"happy": ("행복합니다", "행복하지 않습니다"), "sad": ("슬픕니다", "슬프지 않습니다"),
          "tired": ("피곤합니다", "피곤하지 않습니다"), "hungry": ("배고픕니다", "배고프지 않습니다"),
          "busy": ("바쁩니다", "바쁘지 않습니다"), "kind": ("친절합니다", "친절하지 않습니다"),
          "angry": ("화가 났습니다", "화가 나지 않았습니다"), "sick": ("아픕니다", "아프지 않습니다")}
STATE_LIST = list(STATES)
WEATHER_NOW = {"sunny": "{topic} 맑습니다", "rainy": "{city}에는 비가 옵니다", "cloudy": "{topic} 흐립니다",
               "snowy": "{city}에는 눈이 옵니다", "windy": "{city}에는 바람이 붑니다"}
COUNTERS = {"book": "권", **{animal: "마리" for animal in ANIMALS}}  # anything else is counted with 개


def person(rng):
    return rng.choice(CROWD)


def two_people(rng):
    first = second = person(rng)
    while second == first:
        second = person(rng)
    return first, second


def phrase(rng, nouns):
    """(noun, "red ball", "빨간 공"), at times with no adjective."""
    noun = rng.choice(nouns)
    kind = rng.random()
    if kind < 0.45:
        return noun, noun, KOREAN[noun]
    adjective = rng.choice(COLOUR_LIST if kind < 0.8 else SIZE_LIST if noun in THINGS else SIZE_LIST[:2])
    return noun, f"{adjective} {noun}", f"{KOREAN[adjective]} {KOREAN[noun]}"


def a(words):
    return f"{article(words)} {words}"


def any_subject(rng):
    """("Mina", "미나는") or ("The fox", "여우는")."""
    if rng.random() < 0.6:
        who = person(rng)
        return who, topic(who)
    animal = rng.choice(ANIMAL_LIST)
    return f"The {animal}", topic(animal)


def with_time(rng, english, korean):
    """A sentence in the past with a time at its end or at its beginning; {time} is its place in the Korean."""
    if rng.random() < 0.5:
        return english + ".", korean.replace("{time}", ""), None
    time = rng.choice(PAST_TIME_LIST)
    first = f"{time[0].upper()}{time[1:]} {english}."
    return f"{english} {time}.", korean.replace("{time}", PAST_TIMES[time] + " "), first


def went(rng):
    who, place = person(rng), rng.choice(PLACE_LIST)
    return with_time(rng, f"{who} went to the {place}", f"{topic(who)} {{time}}{PLACES[place]}에 갔습니다.")


def went_together(rng):
    (who, other), place = two_people(rng), rng.choice(PLACE_LIST)
    return with_time(rng, f"{who} went to the {place} with {other}",
                     f"{topic(who)} {{time}}{particle(KOREAN[other], 'with')} {PLACES[place]}에 갔습니다.")


def did(rng):
    who, action = person(rng), ACTIONS[rng.choice(ACTION_LIST)]
    _, words, korean = phrase(rng, action[4])
    there, there_korean = "", ""
    if rng.random() < 0.6:
        place = rng.choice(PLACE_LIST)
        there, there_korean = " " + at_place(place), PLACES[place] + "에서 "
    return with_time(rng, f"{who} {action[0]} {a(words)}{there}",
                     f"{topic(who)} {{time}}{there_korean}{particle(korean, 'object')} {action[1]}.")


def will_do(rng):
    who = person(rng)
    if rng.random() < 0.4:
        place = rng.choice(PLACE_LIST)
        doing, korean = f"go to the {place}", f"{PLACES[place]}에 갈 것입니다."
    else:
        base = rng.choice(ACTION_LIST)
        _, words, noun_korean = phrase(rng, ACTIONS[base][4])
        doing, korean = f"{base} {a(words)}", f"{particle(noun_korean, 'object')} {ACTIONS[base][2]}."
    if rng.random() < 0.4:
        return f"{who} will {doing}.", f"{topic(who)} {korean}", None
    return f"{who} will {doing} tomorrow.", f"{topic(who)} 내일 {korean}", f"Tomorrow {who} will {doing}."


def did_not(rng):
    who = person(rng)
    if rng.random() < 0.3:
        place = rng.choice(PLACE_LIST)
        return f"{who} did not go to the {place}.", f"{topic(who)} {PLACES[place]}에 가지 않았습니다.", None
    base = rng.choice(ACTION_LIST)
    _, words, korean = phrase(rng, ACTIONS[base][4])
    return (f"{who} did not {base} {a(words)}.", f"{topic(who)} {particle(korean, 'object')} {ACTIONS[base][3]}.",
            f"{who} didn't {base} {a(words)}.")


def did_it(rng):
    """Questions with yes or no."""
    who = person(rng)
    if rng.random() < 0.3:
        place = rng.choice(PLACE_LIST)
        return f"Did {who} go to the {place}?", f"{topic(who)} {PLACES[place]}에 갔습니까?", None
    base = rng.choice(ACTION_LIST)
    _, words, korean = phrase(rng, ACTIONS[base][4])
    return (f"Did {who} {base} {a(words)}?", f"{topic(who)} {particle(korean, 'object')} {ACTIONS[base][1][:-1]}까?",
            None)


def gave(rng):
    giver, receiver = two_people(rng)
    _, words, korean = phrase(rng, OBJECT_LIST)
    return (f"{giver} gave {a(words)} to {receiver}.",
            f"{topic(giver)} {KOREAN[receiver]}에게 {particle(korean, 'object')} 주었습니다.",
            f"{giver} gave {receiver} {a(words)}.")


def likes(rng):
    noun = rng.choice(BOTH_LIST)
    if rng.random() < 0.6:
        who = person(rng)
        name, name_korean = who, topic(who)
    else:
        animal = rng.choice(ANIMAL_LIST)
        name, name_korean = f"The {animal}", topic(animal)
    if rng.random() < 0.3:
        return f"{name} does not like {plural_of(noun)}.", f"{name_korean} {thing(noun)} 좋아하지 않습니다.", None
    return f"{name} likes {plural_of(noun)}.", f"{name_korean} {thing(noun)} 좋아합니다.", None


def is_bigger(rng):
    word = rng.choice(list(COMPARISONS))
    first, second = rng.sample(ANIMAL_LIST, 2)
    return (f"The {first} is {word} than the {second}.", f"{topic(first)} {KOREAN[second]}보다 {COMPARISONS[word]}.",
            f"A {first} is {word} than a {second}.")


def there_is(rng):
    place = rng.choice(PLACE_LIST)
    if rng.random() < 0.5:
        noun, n = rng.choice(BOTH_LIST), rng.randrange(2, 21)
        return (f"There are {n} {plural_of(noun)} {at_place(place)}.",
                f"{PLACES[place]}에 {subject(noun)} {n}{COUNTERS.get(noun, '개')} 있습니다.", None)
    _, words, korean = phrase(rng, BOTH_LIST)
    return f"There is {a(words)} {at_place(place)}.", f"{PLACES[place]}에 {particle(korean, 'subject')} 있습니다.", None


def has(rng):
    who = person(rng)
    if rng.random() < 0.5:
        noun, n = rng.choice(OBJECT_LIST), rng.randrange(2, 21)
        return (f"{who} has {n} {plural_of(noun)}.",
                f"{topic(who)} {thing(noun)} {n}{COUNTERS.get(noun, '개')} 가지고 있습니다.", None)
    _, words, korean = phrase(rng, OBJECT_LIST)
    return f"{who} has {a(words)}.", f"{topic(who)} {particle(korean, 'object')} 가지고 있습니다.", None


def is_at(rng):
    (name, name_korean), place = any_subject(rng), rng.choice(PLACE_LIST)
    if rng.random() < 0.25:
        return f"{name} is not {at_place(place)}.", f"{name_korean} {PLACES[place]}에 없습니다.", None
    return f"{name} is {at_place(place)}.", f"{name_korean} {PLACES[place]}에 있습니다.", None


def is_coloured(rng):
    noun, colour = rng.choice(BOTH_LIST), rng.choice(COLOUR_LIST)
    if rng.random() < 0.25:
        return (f"The {noun} is not {colour}.", f"{topic(noun)} {particle(colour_name(colour), 'subject')} 아닙니다.",
                None)
    return f"The {noun} is {colour}.", f"{topic(noun)} {colour_name(colour)}입니다.", None


def feels(rng):
    (name, name_korean), state = any_subject(rng), rng.choice(STATE_LIST)
    if rng.random() < 0.25:
        return f"{name} is not {state}.", f"{name_korean} {STATES[state][1]}.", None
    return f"{name} is {state}.", f"{name_korean} {STATES[state][0]}.", None


def are_friends(rng):
    first, second = two_people(rng)
    return f"{first} and {second} are friends.", f"{particle(KOREAN[first], 'with')} {topic(second)} 친구입니다.", None


def belongs(rng):
    who = person(rng)
    _, words, korean = phrase(rng, OBJECT_LIST)
    return f"This is {who}'s {words}.", f"이것은 {KOREAN[who]}의 {korean}입니다.", None


def weather(rng):
    city, sky = rng.choice(CITY_LIST), rng.choice(list(WEATHER_NOW))
    korean = WEATHER_NOW[sky].format(city=CITIES[city], topic=topic(city))
    return f"It is {sky} in {city} today.", f"오늘 {korean}.", f"Today it is {sky} in {city}."


def asks(rng):
    """Questions with a question word."""
    who, item, base = person(rng), rng.choice(OBJECT_LIST), rng.choice(ACTION_LIST)
    animal, place = rng.choice(ANIMAL_LIST), rng.choice(PLACE_LIST)
    return rng.choice((
        (f"Where is {who}?", f"{topic(who)} 어디에 있습니까?", None),
        (f"Where is the {animal}?", f"{topic(animal)} 어디에 있습니까?", None),
        (f"Who has the {item}?", f"누가 {thing(item)} 가지고 있습니까?", None),
        (f"Who went to the {place}?", f"누가 {PLACES[place]}에 갔습니까?", None),
        (f"What did {who} {base}?", f"{topic(who)} 무엇을 {ACTIONS[base][1][:-1]}까?", None),
    ))


def requests(rng):
    who, place = person(rng), rng.choice(PLACE_LIST)
    if rng.random() < 0.4:
        return f"Please go to the {place}.", f"{toward(PLACES[place])} 가 주세요.", None
    _, words, korean = phrase(rng, OBJECT_LIST)
    return f"Please give {a(words)} to {who}.", f"{KOREAN[who]}에게 {particle(korean, 'object')} 주세요.", None


SENTENCES = (went, went, went_together, did, did, did, did, will_do, will_do, did_not, did_it, gave, gave, likes, likes,
             is_bigger, is_bigger, there_is, there_is, has, has, is_at, is_coloured, feels, are_friends, belongs,
             weather, asks, requests)

TO_KOREAN = ("Translate into Korean: {}", "Translate to Korean: {}", "Translate this sentence into Korean: {}",
             'How do you say "{}" in Korean?', 'What is "{}" in Korean?', "Say this in Korean: {}",
             'Translate "{}" into Korean.',
             "Please translate into Korean.\n{}", "다음 문장을 한국어로 번역해 주세요: {}", "한국어로 번역해 주세요: {}")
TO_ENGLISH = ("Translate into English: {}", "Translate to English: {}", "Translate this sentence into English: {}",
              'What does "{}" mean?', 'What is "{}" in English?', "Say this in English: {}",
              'Translate "{}" into English.',
              "Please translate into English.\n{}", "다음 문장을 영어로 번역해 주세요: {}", "영어로 번역해 주세요: {}")
ANOTHER = ("And this: {}", "Now this one: {}", "And {}", "Next: {}")


def as_typed(rng, sentence):
    """The sentence, at times without its full stop."""
    return sentence.rstrip(".") if rng.random() < 0.15 else sentence


def to_korean(rng):
    english, korean, other = rng.choice(SENTENCES)(rng)
    asked = other if other and rng.random() < 0.35 else english
    exchange = ask(DOMAIN, english, rng.choice(TO_KOREAN).format(as_typed(rng, asked)), korean, korean, korean)
    return with_another(rng, exchange, True)


def to_english(rng):
    english, korean, _ = rng.choice(SENTENCES)(rng)
    question = rng.choice(TO_ENGLISH).format(as_typed(rng, korean))
    return with_another(rng, ask(DOMAIN, english, question, english, None, english), False)


def with_another(rng, exchange, into_korean):
    """The exchange and, in a sixth of the cases, another sentence of the same side of the split."""
    if rng.randrange(6):
        return exchange
    english, korean, _ = rng.choice(SENTENCES)(rng)
    if is_held_out(DOMAIN, english) != exchange.held_out:
        return exchange
    source, target = (english, korean) if into_korean else (korean, english)
    exchange.messages += [{"role": "user", "content": rng.choice(ANOTHER).format(source)},
                          {"role": "assistant", "content": target}]
    exchange.korean = exchange.korean and exchange.korean + [target]
    exchange.short = exchange.short + [target]
    return exchange
