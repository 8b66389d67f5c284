"""Function calls: which of the offered functions fits a question, its arguments, and a sentence from its result.

Function and parameter names vary, so they have to be read from the offer. Where no offered function fits, greetings and
sums are answered directly and everything else with "I have no function for that."
"""

import dataclasses
import functools
import json
import random
from collections.abc import Callable

from . import facts
from .exchange import Exchange, choose
from .wording import casually, is_held_out
from .world import (CITIES, CITY_LIST, COLOURS, COLOUR_LIST, DAYS, DAY_LIST, GUESTS, KOREAN, OBJECT_LIST, PEOPLE,
                    PLACE_LIST, THING_LIST, WEATHER, at_place, particle, plural_of)

DOMAIN = "functions"

CROWD = [*PEOPLE] * 2 + [*GUESTS]  # drawn from evenly
WEATHER_LIST = list(WEATHER)
ROOMS = {"kitchen": "부엌", "garden": "정원", "library": "도서관", "school": "학교", "house": "집", "station": "역"}
ROOM_LIST = list(ROOMS)
TEXTS = ["I am late", "See you on Monday", "Dinner is ready", "Happy birthday", "Good night", "Thank you",
         "I am at home", "Call me tomorrow", "The train is late", "Good luck", "I found the key",
         "Where are you", "Come to the park",
         "It is raining", "I like the book", "We won the game", "The shop is closed", "Bring an umbrella"]
TITLES = [f"{first} {second}" for first in ("Blue", "Little", "Old", "Happy", "Silver", "Summer", "Winter", "Morning")
          for second in ("Moon", "River", "Song", "Star", "Train", "Garden", "Dance", "Rain", "Bird")]
TASKS = {"buy bread": "빵 사기", "call Mina": "미나에게 전화하기", "clean the house": "집 청소하기", "read the book": "책 읽기",
         "feed the cat": "고양이 먹이 주기", "water the garden": "정원에 물 주기", "write a letter": "편지 쓰기",
         "wash the coat": "외투 빨기", "fix the lamp": "등불 고치기", "find the key": "열쇠 찾기"}
LANGUAGES = {"Korean": "한국어", "French": "프랑스어", "Spanish": "스페인어", "German": "독일어", "Japanese": "일본어"}
# A made-up ending for each language: a tool's answer is copied, never known.
FOREIGN = {"Korean": None, "French": "ette", "Spanish": "osa", "German": "chen", "Japanese": "ko"}

NUMBER, TEXT, TRUTH, WORDS = ({"type": "integer"}, {"type": "string"}, {"type": "boolean"},
                              {"type": "array", "items": {"type": "string"}})
DAY = {"type": "string", "enum": DAY_LIST}

NO_FUNCTION = ("I have no function for that.", "그것을 위한 함수가 없습니다.")
FAILURES = ("not found", "no connection", "try again later", "not allowed", "timeout")


def failed(reason):
    return f"That did not work: {reason}.", f"실패했습니다: {reason}.", "Failed"


def ko(word):
    return KOREAN.get(word, word)


@dataclasses.dataclass(frozen=True)
class Function:
    """A function to offer. The first name of each is what the wordings use; the others stand in for it.

    parameters: {name: (schema, other names, draw)}, draw(rng) -> value; result(rng, a) -> dict;
    sentence(a, r) -> (English, Korean, short).
    """

    names: tuple
    description: str
    parameters: dict
    wordings: tuple
    result: Callable
    sentence: Callable
    again: tuple = ()  # wordings of a second question that changes only the first argument


def from_list(values):
    return lambda rng: rng.choice(values)


def below(start, stop):
    return lambda rng: rng.randrange(start, stop)


def a_word(rng):
    return rng.choice(OBJECT_LIST)


def degrees(n):
    return "1 degree" if n == 1 else f"{n} degrees"


def dollars(n):
    return "1 dollar" if n == 1 else f"{n} dollars"


def clock(hour, minute):
    return f"{hour}:{minute:02}"


def translated(rng, a):
    ending = FOREIGN[a["language"]]
    return {"translation": KOREAN[a["text"]] if ending is None else a["text"][:3] + ending}


def weather_sentence(a, r):
    sky, t = r["weather"], r["temperature"]
    return (f"It is {sky} in {a['city']} on {a['day']}, {degrees(t)}.",
            f"{DAYS[a['day']]} {CITIES[a['city']]} 날씨는 {WEATHER[sky]}, {t}도입니다.", f"{sky.capitalize()}, {degrees(t)}")


def done(english, korean, failure):
    """The sentence of a function that says whether it worked; the texts are formats over the arguments."""
    def sentence(a, r):
        names = {**a, **{f"{key}_ko": ko(value) for key, value in a.items() if isinstance(value, str)}}
        return ((english.format(**names), korean.format(**names), "Done") if all(r.values())
                else (failure[0].format(**names), failure[1].format(**names), "Not done"))
    return sentence


def worked(key):
    return lambda rng, a: {key: rng.random() < 0.8}


CITY = (TEXT, ("city", "location", "town"), from_list(CITY_LIST))
ON_DAY = (DAY, ("day", "date", "weekday"), from_list(DAY_LIST))
NAME = (TEXT, ("name", "person", "who"), from_list(CROWD))

FUNCTIONS = (
    Function(("get_weather", "weather", "weather_forecast"), "The weather of a city on a day",
             {"city": CITY, "day": ON_DAY},
             ("What is the weather in {city} on {day}?", "How is the weather in {city} on {day}?",
              "Weather in {city} on {day}?", "What will the weather be like in {city} on {day}?",
              "On {day}, what is the weather in {city}?"),
             lambda rng, a: {"weather": rng.choice(WEATHER_LIST), "temperature": rng.randrange(0, 36)},
             weather_sentence, ("And in {city}?", "What about {city}?", "And {city}?")),
    Function(("add_numbers", "add", "sum"), "Add two numbers",
             {"a": (NUMBER, ("a", "x", "first"), below(0, 1000)), "b": (NUMBER, ("b", "y", "second"), below(0, 1000))},
             ("What is {a} + {b}?", "Add {a} and {b}.", "What is {a} plus {b}?", "{a} + {b}?",
              "How much is {a} plus {b}?"),
             lambda rng, a: {"sum": a["a"] + a["b"]},
             lambda a, r: (f"{a['a']} + {a['b']} = {r['sum']}.", f"{a['a']} + {a['b']} = {r['sum']}입니다.",
                           str(r["sum"]))),
    Function(("multiply", "multiply_numbers", "product"), "Multiply two numbers",
             {"a": (NUMBER, ("a", "x", "first"), below(2, 100)), "b": (NUMBER, ("b", "y", "second"), below(2, 100))},
             ("What is {a} times {b}?", "Multiply {a} by {b}.", "{a} times {b}?", "What is {a} * {b}?"),
             lambda rng, a: {"product": a["a"] * a["b"]},
             lambda a, r: (f"{a['a']} * {a['b']} = {r['product']}.", f"{a['a']} * {a['b']} = {r['product']}입니다.",
                           str(r["product"]))),
    Function(("send_message", "message", "send_text"), "Send a message to a person",
             {"to": (TEXT, ("to", "recipient", "name"), from_list(CROWD)),
              "text": (TEXT, ("text", "message", "body"), from_list(TEXTS))},
             ('Send "{text}" to {to}.', 'Tell {to} "{text}".', 'Send {to} the message "{text}".',
              'Write to {to}: "{text}"'),
             worked("sent"), done("I sent the message to {to}.", "{to_ko}에게 메시지를 보냈습니다.",
                                  ("I could not send the message to {to}.", "{to_ko}에게 메시지를 보내지 못했습니다."))),
    Function(("find_person", "locate", "where_is"), "Find out where a person is", {"name": NAME},
             ("Where is {name}?", "Find {name}.", "Where is {name} now?", "Do you know where {name} is?"),
             lambda rng, a: {"place": rng.choice(PLACE_LIST)},
             lambda a, r: (f"{a['name']} is {at_place(r['place'])}.",
                           f"{particle(ko(a['name']), 'topic')} {ko(r['place'])}에 있습니다.",
                           at_place(r["place"]).capitalize()),
             ("And {name}?", "And where is {name}?", "What about {name}?")),
    Function(("get_price", "price", "price_of"), "The price of a thing in dollars",
             {"item": (TEXT, ("item", "thing", "product"), a_word)},
             ("What does the {item} cost?", "How much is the {item}?", "What is the price of the {item}?",
              "Price of the {item}?"),
             lambda rng, a: {"price": rng.randrange(1, 100)},
             lambda a, r: (f"The {a['item']} costs {dollars(r['price'])}.",
                           f"{particle(ko(a['item']), 'topic')} {r['price']}달러입니다.", dollars(r["price"])),
             ("And the {item}?", "What about the {item}?", "How about the {item}?")),
    Function(("set_alarm", "alarm", "add_alarm"), "Set an alarm",
             {"hour": (NUMBER, ("hour", "hours", "h"), below(0, 24)),
              "minute": (NUMBER, ("minute", "minutes", "m"), below(0, 60))},
             ("Set an alarm for {hour}:{minute:02}.", "Wake me at {hour}:{minute:02}.",
              "Alarm at {hour}:{minute:02}, please.", "Please wake me up at {hour}:{minute:02}."),
             worked("set"), done("The alarm is set for {hour}:{minute:02}.", "알람을 {hour}:{minute:02}에 맞추었습니다.",
                                 ("I could not set the alarm.", "알람을 맞추지 못했습니다."))),
    Function(("translate", "translate_text", "translate_word"), "Translate a text into a language",
             {"text": (TEXT, ("text", "word", "input"), a_word),
              "language": (TEXT, ("language", "to", "target"), from_list(list(LANGUAGES)))},
             ('What is "{text}" in {language}?', 'Translate "{text}" into {language}.',
              "How do you say {text} in {language}?", "Translate {text} to {language}."),
             translated,
             lambda a, r: (f"In {a['language']}, {a['text']} is {r['translation']}.",
                           f"{LANGUAGES[a['language']]}로 {r['translation']}입니다.", r["translation"])),
    Function(("count_items", "count", "count_list"), "Count the items of a list",
             {"items": (WORDS, ("items", "list", "words"), lambda rng: rng.sample(OBJECT_LIST, rng.randrange(2, 6)))},
             ("How many items are there: {items}?", "Count these: {items}.", "Count {items}.",
              "How many words: {items}?"),
             lambda rng, a: {"count": len(a["items"])},
             lambda a, r: (f"There are {r['count']} items.", f"{r['count']}개 있습니다.", str(r["count"]))),
    Function(("open_door", "unlock_door", "door_open"), "Open the door of a room",
             {"room": (TEXT, ("room", "door", "place"), from_list(ROOM_LIST))},
             ("Open the {room} door.", "Please open the door of the {room}.", "Open the door of the {room}.",
              "Can you open the {room} door?"),
             worked("open"), done("The {room} door is open.", "{room_ko} 문이 열렸습니다.",
                                  ("I could not open the {room} door.", "{room_ko} 문을 열지 못했습니다."))),
    Function(("play_song", "play", "play_music"), "Play a song",
             {"title": (TEXT, ("title", "song", "name"), from_list(TITLES))},
             ('Play "{title}".', "Play the song {title}.", 'I want to hear "{title}".', "Please play {title}."),
             worked("playing"), done('Now playing "{title}".', '"{title}" 노래를 틀었습니다.',
                                     ('I could not play "{title}".', '"{title}" 노래를 틀지 못했습니다.'))),
    Function(("get_time", "time", "current_time"), "The time in a city", {"city": CITY},
             ("What time is it in {city}?", "What is the time in {city}?", "Time in {city}?",
              "Tell me the time in {city}."),
             lambda rng, a: {"time": clock(rng.randrange(24), rng.randrange(60))},
             lambda a, r: (f"It is {r['time']} in {a['city']}.", f"{ko(a['city'])}의 시각은 {r['time']}입니다.", r["time"]),
             ("And in {city}?", "What about {city}?", "And {city}?")),
    Function(("switch_light", "set_light", "light"), "Turn the light of a room on or off",
             {"room": (TEXT, ("room", "place", "location"), from_list(ROOM_LIST)),
              "on": (TRUTH, ("on", "is_on", "state"), lambda rng: rng.random() < 0.5)},
             ("Turn {on} the light in the {room}.", "Turn {on} the {room} light.", "Switch {on} the {room} light.",
              "Please turn the {room} light {on}."),
             lambda rng, a: {"on": a["on"]},
             lambda a, r: (f"The {a['room']} light is {'on' if r['on'] else 'off'}.",
                           f"{ko(a['room'])} 불을 {'켰습니다' if r['on'] else '껐습니다'}.", "On" if r["on"] else "Off")),
    Function(("book_table", "reserve_table", "reserve"), "Book a table in the restaurant",
             {"people": (NUMBER, ("people", "persons", "guests"), below(2, 21)), "day": ON_DAY},
             ("Book a table for {people} on {day}.", "I need a table for {people} people on {day}.",
              "Please reserve a table for {people} people on {day}.", "A table for {people} on {day}, please."),
             lambda rng, a: {"table": rng.randrange(1, 50)},
             lambda a, r: (f"I booked table {r['table']} for {a['people']} people on {a['day']}.",
                           f"{DAYS[a['day']]}에 {a['people']}명 자리로 {r['table']}번 테이블을 예약했습니다.", f"Table {r['table']}")),
    Function(("add_task", "new_task", "create_task"), "Add a task to the list",
             {"task": (TEXT, ("task", "text", "title"), from_list(list(TASKS))), "day": ON_DAY},
             ('Add the task "{task}" for {day}.', 'Remind me on {day}: "{task}"', 'Put "{task}" on my list for {day}.'),
             worked("added"), lambda a, r: (
                 (f'I added "{a["task"]}" for {a["day"]}.',
                  f"{DAYS[a['day']]} 할 일에 '{TASKS[a['task']]}'를 넣었습니다.", "Done")
                 if r["added"] else (f'I could not add "{a["task"]}".', "할 일을 넣지 못했습니다.", "Not done"))),
    Function(("get_age", "age", "age_of"), "The age of a person", {"name": NAME},
             ("How old is {name}?", "What is the age of {name}?", "What is {name}'s age?"),
             lambda rng, a: {"age": rng.randrange(1, 100)},
             lambda a, r: (f"{a['name']} is {r['age']} years old.",
                           f"{particle(ko(a['name']), 'topic')} {r['age']}살입니다.", str(r["age"])),
             ("And {name}?", "What about {name}?", "And how old is {name}?")),
    Function(("get_distance", "distance", "distance_km"), "The distance between two cities in km",
             {"start": (TEXT, ("start", "from", "city_a"), from_list(CITY_LIST[:4])),
              "end": (TEXT, ("end", "to", "city_b"), from_list(CITY_LIST[4:]))},
             ("How far is it from {start} to {end}?", "What is the distance from {start} to {end}?",
              "How many km is it from {start} to {end}?"),
             lambda rng, a: {"km": rng.randrange(20, 500)},
             lambda a, r: (f"It is {r['km']} km from {a['start']} to {a['end']}.",
                           f"{ko(a['start'])}에서 {ko(a['end'])}까지 {r['km']}km입니다.", f"{r['km']} km")),
    Function(("find_item", "search_item", "stock"), "How many of a thing the shop has",
             {"item": (TEXT, ("item", "thing", "article"), from_list(THING_LIST)),
              "colour": (TEXT, ("colour", "color", "shade"), from_list(COLOUR_LIST))},
             ("Does the shop have a {colour} {item}?", "Is there a {colour} {item} in the shop?",
              "Look for a {colour} {item} in the shop."),
             lambda rng, a: {"count": rng.randrange(0, 20)},
             lambda a, r: (f"The shop has {r['count']} {a['colour']} "
                           f"{a['item'] if r['count'] == 1 else plural_of(a['item'])}.",
                           f"가게에 {COLOURS[a['colour']]} {particle(ko(a['item']), 'subject')} {r['count']}개 있습니다.",
                           str(r["count"]))),
)


dumps = json.JSONEncoder(ensure_ascii=False).encode  # as json.dumps prints, without a new encoder for each call
INDEX = {id(function): i for i, function in enumerate(FUNCTIONS)}


# ---- Offers, calls and answers ----

@functools.lru_cache(maxsize=None)
def tool(index, name, names_at):
    """The function of the table under that name, its parameters under their names_at-th names."""
    function = FUNCTIONS[index]
    properties = {names[names_at]: schema for schema, names, _ in function.parameters.values()}
    return {"type": "function", "function": {
        "name": name, "description": function.description,
        "parameters": {"type": "object", "properties": properties, "required": list(properties)}}}


@dataclasses.dataclass
class Offer:
    """A function under the names that this conversation gives it."""

    function: Function
    name: str
    names_at: int  # which of its names each parameter has

    @classmethod
    def of(cls, rng, function):
        if rng.random() < 0.5:
            return cls(function, function.names[0], 0)
        return cls(function, rng.choice(function.names), rng.randrange(3))

    def tool(self):
        return tool(INDEX[id(self.function)], self.name, self.names_at)

    def call(self, number, arguments):
        renamed = {self.function.parameters[key][1][self.names_at]: value for key, value in arguments.items()}
        return {"id": f"call_{number}", "type": "function", "function": {"name": self.name, "arguments": renamed}}


def offers(rng, wanted, others):
    """The wanted functions and that many others, in any order."""
    chosen = list(wanted)
    while len(chosen) < len(wanted) + others:
        function = rng.choice(FUNCTIONS)
        if all(function is not other for other in chosen):
            chosen.append(function)
    rng.shuffle(chosen)
    return [Offer.of(rng, function) for function in chosen]


def draw_arguments(rng, function):
    return {key: draw(rng) for key, (_, _, draw) in function.parameters.items()}


def question_of(rng, wordings, arguments):
    shown = {key: ", ".join(value) if isinstance(value, list) else "on" if value is True else "off" if value is False
             else value for key, value in arguments.items()}
    return rng.choice(wordings).format(**shown)


@dataclasses.dataclass
class Dialogue:
    """The messages so far, with the Korean and the short form of each answer."""

    messages: list = dataclasses.field(default_factory=list)
    korean: list = dataclasses.field(default_factory=list)
    short: list = dataclasses.field(default_factory=list)
    n_calls: int = 0

    def user(self, text):
        self.messages.append({"role": "user", "content": text})

    def answer(self, english, korean, short):
        self.messages.append({"role": "assistant", "content": english})
        self.korean.append(korean)
        self.short.append(short)

    def calls(self, rng, pairs):
        """Calls [(offer, arguments)], their results, and the sentences from these."""
        calls = [offer.call(self.n_calls + i + 1, arguments) for i, (offer, arguments) in enumerate(pairs)]
        self.n_calls += len(calls)
        self.messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        self.korean.append("")
        self.short.append("")
        sentences = []
        for call, (offer, arguments) in zip(calls, pairs):
            result = offer.function.result(rng, arguments)
            if rng.random() < 0.04:
                result = {"error": rng.choice(FAILURES)}
            self.messages.append({"role": "tool", "tool_call_id": call["id"],
                                  "content": dumps(result)})
            sentences.append(failed(result["error"]) if "error" in result
                             else offer.function.sentence(arguments, result))
        english, korean, short = zip(*sentences)
        self.answer(" ".join(english), " ".join(korean), ", ".join(short))


def key_of(function, arguments):
    return f"{function.names[0]} {dumps(arguments)}"


PLAIN_PROMPTS = ("You are a helpful assistant.", "You are Polymath.", "Use the functions.", "Answer the question.",
                 "You are a helpful assistant. Call a function where one fits.")
KOREAN_PROMPTS = ("Answer in Korean.", "Always answer in Korean.", "한국어로 대답하세요.", "Reply only in Korean.")


def in_korean(dialogue):
    """The messages with every answer in Korean."""
    answers = iter(dialogue.korean)
    return [{**message, "content": next(answers)} if message["role"] == "assistant" else message
            for message in dialogue.messages]


def finish(rng, dialogue, key, offered):
    """The exchange, a third of the times with a system prompt of its own."""
    messages, kind = dialogue.messages, rng.random()
    short = dialogue.short
    if kind < 0.08:
        messages = [{"role": "system", "content": rng.choice(KOREAN_PROMPTS)}, *in_korean(dialogue)]
        short = None
    elif kind < 0.3:
        messages = [{"role": "system", "content": rng.choice(PLAIN_PROMPTS)}, *messages]
    return Exchange(DOMAIN, key, messages, dialogue.korean, short, [offer.tool() for offer in offered])


def one_call(rng):
    """A question, its call and the answer; at times thanks, or another question of the same kind or another."""
    wanted = rng.sample(FUNCTIONS, 2)
    offered = offers(rng, wanted[:1] if rng.random() < 0.6 else wanted, rng.choice((0, 1, 1, 2)))
    offer = next(offer for offer in offered if offer.function is wanted[0])
    arguments, dialogue = draw_arguments(rng, wanted[0]), Dialogue()
    dialogue.user(casually(rng, question_of(rng, wanted[0].wordings, arguments)))
    dialogue.calls(rng, [(offer, arguments)])
    more = rng.random()
    if more < 0.08:
        dialogue.user(rng.choice(facts.SMALL_TALK["thanks"][0]))
        dialogue.answer(*facts.SMALL_TALK["thanks"][1:])
    elif more < 0.35:
        second_question(rng, dialogue, offered, offer, arguments)
    return finish(rng, dialogue, key_of(wanted[0], arguments), offered)


def second_question(rng, dialogue, offered, offer, arguments):
    """"And in Seoul?" where the function has such wordings; a question to any of the offered functions otherwise."""
    function = offer.function
    if function.again and rng.random() < 0.6:
        first = next(iter(arguments))
        arguments = {**arguments, first: draw_arguments(rng, function)[first]}
        dialogue.user(question_of(rng, function.again, arguments))
    else:
        offer = rng.choice(offered)
        function = offer.function
        arguments = draw_arguments(rng, function)
        dialogue.user(question_of(rng, function.wordings, arguments))
    dialogue.calls(rng, [(offer, arguments)])


def lower_first(text):
    """For the second half of a question; "I" and names keep their capital."""
    word = text.split(" ", 1)[0].rstrip(",")
    return text if word == "I" or word in KOREAN else text[0].lower() + text[1:]


def two_calls(rng):
    """Two questions in one: a question mark or full stop between them."""
    first, second = rng.sample(FUNCTIONS, 2) if rng.random() < 0.6 else [rng.choice(FUNCTIONS)] * 2
    offered = offers(rng, [first] if first is second else [first, second], rng.choice((0, 1, 1, 2)))
    by_function = {id(offer.function): offer for offer in offered}
    pairs = [(function, draw_arguments(rng, function)) for function in (first, second)]
    if pairs[0] == pairs[1]:
        return two_calls(rng)
    questions = [question_of(rng, function.wordings, arguments) for function, arguments in pairs]
    dialogue = Dialogue()
    link = rng.choice(("", "And ", "Then "))
    dialogue.user(f"{questions[0]} {link}{lower_first(questions[1]) if link else questions[1]}")
    dialogue.calls(rng, [(by_function[id(function)], arguments) for function, arguments in pairs])
    return finish(rng, dialogue, " ".join(key_of(*pair) for pair in pairs), offered)


# ---- Where no function fits ----

SMALL_TALK = [(question, facts.SMALL_TALK[topic][1:])
              for topic in ("greeting", "morning", "how are you", "thanks", "goodbye", "who", "name")
              for question in facts.SMALL_TALK[topic][0]]
IMPOSSIBLE = ("Write a poem about {}.", "Draw a picture of {}.", "Who invented {}?", "Delete all my files about {}.",
              "Buy {} for me.", "What is the history of {}?", "Show me a film about {}.", "Take a photo of {}.",
              "Print a page about {}.", "Order {} for me.")
IMPOSSIBLE_THINGS = ("pizza", "the moon", "robots", "a bicycle", "coffee", "France", "the sea", "dinosaurs",
                     "music", "space", "trains", "chess", "football", "a computer",
                     "rockets", "the ocean", "cheese", "shoes")


def unfit(rng):
    """A question for a function that is not offered, or for none at all."""
    missing = rng.choice(FUNCTIONS)
    while missing.names[0] == "add_numbers":
        missing = rng.choice(FUNCTIONS)
    offered = [offer for offer in offers(rng, (), rng.choice((1, 2, 2, 3, 4))) if offer.function is not missing]
    if not offered:
        return unfit(rng)
    arguments, dialogue = draw_arguments(rng, missing), Dialogue()
    if rng.random() < 0.7:
        question = question_of(rng, missing.wordings, arguments)
        key = f"no {key_of(missing, arguments)}"
    else:
        question = rng.choice(IMPOSSIBLE).format(rng.choice(IMPOSSIBLE_THINGS))
        key = f"no {question}"
    dialogue.user(question)
    dialogue.answer(*NO_FUNCTION, "No function")
    return finish(rng, dialogue, key, offered)


def greeting(rng):
    offered = offers(rng, (), rng.choice((1, 2, 3)))
    dialogue = Dialogue()
    question, answer = rng.choice(SMALL_TALK)
    dialogue.user(question)
    dialogue.answer(*answer)
    key = f"{question} {' '.join(offer.name for offer in offered)}"
    if rng.random() < 0.4:
        offer = rng.choice(offered)
        arguments = draw_arguments(rng, offer.function)
        dialogue.user(question_of(rng, offer.function.wordings, arguments))
        dialogue.calls(rng, [(offer, arguments)])
    return finish(rng, dialogue, key, offered)


SUM_WORDINGS = ("What is {a} + {b}?", "{a} + {b}?", "What is {a} plus {b}?", "Add {a} and {b}.")


def direct_sum(rng):
    """A sum where no function adds: answered directly, as anywhere else."""
    offered = [offer for offer in offers(rng, (), rng.choice((1, 2, 3))) if offer.function.names[0] != "add_numbers"]
    a, b = rng.randrange(100), rng.randrange(100)
    key = f"sum {min(a, b)} {max(a, b)}"
    if not offered or is_held_out(DOMAIN, key) != is_held_out("arithmetic", key):
        return direct_sum(rng)
    dialogue = Dialogue()
    dialogue.user(rng.choice(SUM_WORDINGS).format(a=a, b=b))
    dialogue.answer(f"{a} + {b} = {a + b}.", f"{a} + {b} = {a + b}입니다.", str(a + b))
    return finish(rng, dialogue, key, offered)


KINDS = {one_call: 12, two_calls: 3, unfit: 2, greeting: 1, direct_sum: 1}


def exchange(rng: random.Random):
    return choose(rng, KINDS)(rng)
