"""JSON: extracting it from a text by a schema, reading it, saying it in a sentence and changing it.

The schema is a random choice of keys in a random order, given in words, as a JSON Schema or as an example object.
"""

import dataclasses
import json
import random
from collections.abc import Callable

from .exchange import Exchange, ask, choose
from .world import (ANIMAL_LIST, CITY_LIST, COLOUR_LIST, DAY_LIST, FRUITS, GUESTS, PEOPLE, THING_LIST, article,
                    at_place, english_list, plural_of, pronoun)

DOMAIN = "structured"

CROWD = [*PEOPLE] * 2 + [*GUESTS]  # drawn from evenly
FRUITS_LIST = [plural_of(fruit) for fruit in FRUITS]
PET_NAMES = ["Coco", "Bori", "Nabi", "Mong", "Choco", "Dubu", "Rex", "Luna", "Toto", "Momo", "Kiki", "Bella"]
JOBS = ["teacher", "baker", "farmer", "doctor", "driver", "singer", "painter", "cook", "nurse", "pilot", "writer",
        "student"]
ROOMS = ["kitchen", "garden", "library", "school", "house", "market", "park", "station"]
EVENTS = ["concert", "party", "lesson", "meeting", "game", "film", "dinner", "show", "race", "class"]
SIZES = ["small", "big"]
KINDS_OF_FOOD = [*FRUITS_LIST, "bread", "fish", "rice", "grass", "cheese"]

NUMBER, TEXT, TRUTH = {"type": "integer"}, {"type": "string"}, {"type": "boolean"}
TEXTS, NUMBERS = {"type": "array", "items": TEXT}, {"type": "array", "items": NUMBER}


def one_of(values):
    return {"type": "string", "enum": values}


def from_list(values):
    return lambda rng: rng.choice(values)


def some_of(values):
    return lambda rng: rng.sample(values, rng.randrange(2, 4))


def number_below(limit):
    return lambda rng: rng.randrange(1, limit)


def some_numbers(rng):
    return [rng.randrange(1, 100) for _ in range(rng.randrange(2, 4))]


def truth(rng):
    return rng.random() < 0.5


@dataclasses.dataclass(frozen=True)
class Attribute:
    """What can be said of something: under which keys (one is drawn), of what type, and how a sentence says it."""

    keys: tuple
    schema: dict
    value: Callable  # rng -> value
    say: Callable  # value -> what follows the subject
    also: Callable | None = None  # another way to say it, in texts to extract from


PERSON = (
    Attribute(("age",), NUMBER, number_below(100), lambda v: f"is {v} years old", lambda v: f"is aged {v}"),
    Attribute(("city", "city", "town"), TEXT, from_list(CITY_LIST), lambda v: f"lives in {v}",
              lambda v: f"is from {v}"),
    Attribute(("job", "job", "work"), TEXT, from_list(JOBS), lambda v: f"works as {article(v)} {v}",
              lambda v: f"is {article(v)} {v}"),
    Attribute(("pet", "animal"), TEXT, from_list(ANIMAL_LIST), lambda v: f"has {article(v)} {v}"),
    Attribute(("friend", "best_friend"), TEXT, from_list(CROWD), lambda v: f"is a friend of {v}"),
    Attribute(("colour", "color", "favourite_colour"), one_of(COLOUR_LIST), from_list(COLOUR_LIST),
              lambda v: f"loves the colour {v}"),
    Attribute(("fruits", "likes"), TEXTS, some_of(FRUITS_LIST), lambda v: f"likes {english_list(v)}"),
    Attribute(("numbers", "lucky_numbers"), NUMBERS, some_numbers,
              lambda v: f"has the lucky numbers {english_list(list(map(str, v)))}"),
    Attribute(("married", "is_married"), TRUTH, truth, lambda v: "is married" if v else "is not married"),
    Attribute(("thing", "item"), TEXT, from_list(THING_LIST), lambda v: f"carries {article(v)} {v}"),
    Attribute(("office", "workplace"), {"type": "object", "properties": {"city": TEXT, "floor": NUMBER},
                                    "required": ["city", "floor"]},
              lambda rng: {"city": rng.choice(CITY_LIST), "floor": rng.randrange(1, 30)},
              lambda v: f"has an office in {v['city']} on floor {v['floor']}"),
)
ANIMAL = (
    Attribute(("animal", "species", "kind"), TEXT, from_list(ANIMAL_LIST), lambda v: f"is {article(v)} {v}"),
    Attribute(("age",), NUMBER, number_below(30), lambda v: f"is {v} years old"),
    Attribute(("weight", "weight_kg"), NUMBER, number_below(100), lambda v: f"weighs {v} kg"),
    Attribute(("colour", "color"), one_of(COLOUR_LIST), from_list(COLOUR_LIST), lambda v: f"is {v}"),
    Attribute(("food", "eats"), TEXT, from_list(KINDS_OF_FOOD), lambda v: f"eats {v}"),
    Attribute(("owner",), TEXT, from_list(CROWD), lambda v: f"belongs to {v}", lambda v: f"is owned by {v}"),
    Attribute(("friendly", "is_friendly"), TRUTH, truth, lambda v: "is friendly" if v else "is not friendly"),
    Attribute(("friends",), TEXTS, some_of(PET_NAMES), lambda v: f"plays with {english_list(v)}"),
    Attribute(("size",), one_of(SIZES), from_list(SIZES), lambda v: f"is {v}"),
)
THING = (
    Attribute(("colour", "color"), one_of(COLOUR_LIST), from_list(COLOUR_LIST), lambda v: f"is {v}"),
    Attribute(("size",), one_of(SIZES), from_list(SIZES), lambda v: f"is {v}"),
    Attribute(("price", "price", "cost"), NUMBER, number_below(100), lambda v: f"costs {v} dollars",
              lambda v: f"has a price of {v} dollars"),
    Attribute(("owner",), TEXT, from_list(CROWD), lambda v: f"belongs to {v}", lambda v: f"is owned by {v}"),
    Attribute(("place", "location"), TEXT, from_list(ROOMS), lambda v: f"is {at_place(v)}"),
    Attribute(("new", "is_new"), TRUTH, truth, lambda v: "is new" if v else "is not new"),
    Attribute(("codes", "numbers"), NUMBERS, some_numbers,
              lambda v: f"has the numbers {english_list(list(map(str, v)))}"),
    Attribute(("weight",), NUMBER, number_below(100), lambda v: f"weighs {v} kg"),
)
EVENT = (
    Attribute(("day",), one_of(DAY_LIST), from_list(DAY_LIST), lambda v: f"is on {v}"),
    Attribute(("hour", "start"), NUMBER, number_below(24), lambda v: f"starts at {v}", lambda v: f"begins at {v}"),
    Attribute(("city", "place"), TEXT, from_list(CITY_LIST), lambda v: f"takes place in {v}"),
    Attribute(("guests", "people"), TEXTS, some_of([*PEOPLE]), lambda v: f"has the guests {english_list(v)}"),
    Attribute(("price", "cost"), NUMBER, number_below(100), lambda v: f"costs {v} dollars",
              lambda v: f"has a price of {v} dollars"),
    Attribute(("free", "is_free"), TRUTH, truth, lambda v: "is free" if v else "is not free"),
    Attribute(("room",), NUMBER, number_below(100), lambda v: f"is in room {v}"),
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A kind of thing that texts are about: its name under one of the keys, and what can be said of it."""

    keys: tuple
    name: Attribute
    attributes: tuple
    the: str  # stands before the name in a sentence


def name_from(names):
    return Attribute((), TEXT, from_list(names), str)


SUBJECTS = [*[Subject(("name",), name_from(CROWD), PERSON, "")] * 5,
            *[Subject(("name",), name_from(PET_NAMES), ANIMAL, "")] * 3,
            *[Subject(("item", "object", "thing"), name_from(THING_LIST), THING, "the ")] * 3,
            *[Subject(("event", "title"), name_from(EVENTS), EVENT, "the ")] * 3]  # drawn from evenly


@dataclasses.dataclass
class Field:
    """A key with a value of its attribute."""

    key: str
    attribute: Attribute
    value: object

    @property
    def schema(self):
        return self.attribute.schema

    @property
    def clause(self):
        return self.attribute.say(self.value)

    def drawn(self, rng):
        """The same key with another value."""
        return Field(self.key, self.attribute, self.attribute.value(rng))


dumps = json.JSONEncoder(ensure_ascii=False).encode  # as json.dumps prints, without a new encoder for each call


def as_object(fields):
    return {field.key: field.value for field in fields}


def draw_fields(rng, n):
    """A subject and about n different things about it, at least one; the name comes first."""
    subject = rng.choice(SUBJECTS)
    fields = [Field(rng.choice(subject.keys), subject.name, subject.name.value(rng))]
    for attribute in rng.sample(subject.attributes, n):
        field = Field(rng.choice(attribute.keys), attribute, attribute.value(rng))
        if all(field.key != other.key and field.value != other.value for other in fields):
            fields.append(field)
    return (subject, fields) if len(fields) > 1 else draw_fields(rng, n)


def join_clauses(subject, name, clauses):
    text = f"{subject.the}{name} {english_list(clauses)}."
    return text[0].upper() + text[1:]


def described(rng, subject, fields):
    """One to three sentences that say the fields in any order, each with its subject or a pronoun."""
    name, sentences = fields[0].value, []
    clauses = [(f.attribute.also if f.attribute.also and rng.random() < 0.3 else f.attribute.say)(f.value)
               for f in fields[1:]]
    rng.shuffle(clauses)
    it = pronoun(name) if name in PEOPLE or name in GUESTS else "It"
    while clauses:
        n = rng.randrange(1, 4)
        sentence = join_clauses(subject, name, clauses[:n])
        if sentences and rng.random() < 0.5:
            sentence = f"{it} {english_list(clauses[:n])}."
        sentences.append(sentence)
        clauses = clauses[n:]
    return " ".join(sentences)


# ---- Extraction ----

def in_words(schema):
    """A type in words: "array of strings", "one of small, big"."""
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}" if len(schema["enum"]) < 4 else "string"
    if schema["type"] == "array":
        return f"array of {schema['items']['type']}s"
    if schema["type"] == "object":
        return "object with " + " and ".join(f"{key} ({part['type']})" for key, part in schema["properties"].items())
    return schema["type"]


WORD_WORDINGS = ("Reply in JSON with the keys {}.", "Give JSON with the keys {}.", "Answer in JSON with the keys {}.",
                 "Extract {} as JSON.", "Return a JSON object with {}.", "Write it as JSON. Keys: {}.")


def schema_in_words(rng, fields):
    typed = rng.random() < 0.7
    return rng.choice(WORD_WORDINGS).format(
        english_list([f"{field.key} ({in_words(field.schema)})" if typed else field.key for field in fields]))


SCHEMA_WORDINGS = ("Reply in JSON that follows this schema: {}", "JSON Schema: {}",
                   "Answer with JSON of this schema: {}", "Extract JSON by this schema.\n{}", "Schema:\n{}")


def json_schema(rng, fields):
    """The JSON Schema in full, or with less of what need not be said."""
    schema = {"type": "object", "properties": {field.key: field.schema for field in fields}}
    if rng.random() < 0.8:
        schema["required"] = [field.key for field in fields]
    if rng.random() < 0.15:
        schema["additionalProperties"] = False
    return rng.choice(SCHEMA_WORDINGS).format(dumps(schema))


EXAMPLE_WORDINGS = ("Reply in JSON like this: {}", "Use this form: {}", "Write it as JSON like this example: {}",
                    "Example: {}", "Give JSON of the same form as {}")


def example(rng, fields):
    """An object with the same keys about something else."""
    return rng.choice(EXAMPLE_WORDINGS).format(dumps({field.key: field.drawn(rng).value for field in fields}))


def schema_for(rng, fields):
    kind = rng.randrange(10)
    return schema_in_words(rng, fields) if kind < 4 else json_schema(rng, fields) if kind < 8 else example(rng, fields)


def text_and_json(rng, subject, said, keys):
    return described(rng, subject, said), dumps({key: as_object(said)[key] for key in keys})


def extraction(rng):
    """Text and schema -> JSON; the schema comes before or after the text, or for some texts in a system message."""
    subject, said = draw_fields(rng, rng.randrange(2, 6))
    asked = rng.sample(said, min(len(said), rng.randrange(2, 6)))
    if rng.random() < 0.5:
        asked.sort(key=lambda field: field is not said[0])  # the name first, as most people write it
    form, keys = schema_for(rng, asked), [field.key for field in asked]
    text, answer = text_and_json(rng, subject, said, keys)
    key = f"{answer} {text}"
    if rng.random() < 0.7:
        return ask(DOMAIN, key, f"{text}\n{form}" if rng.randrange(2) else f"{form}\n{text}", answer)
    messages = [{"role": "system", "content": form}]
    for _ in range(rng.choice((1, 1, 2, 3))):
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
        text, answer = text_and_json(rng, subject, [field.drawn(rng) for field in said], keys)
    return Exchange(DOMAIN, key, messages)


# ---- Reading ----

LAYOUTS = ("{data}\n{question}", "{data}\n\n{question}", "Here is some JSON: {data}\n{question}",
           "JSON: {data}\n{question}", "{question}\n{data}")
VALUE_WORDINGS = ("What is the {}?", "What is the value of {}?", 'What is the value of "{}"?', "{}?", "Give me the {}.",
                  "Read the {}.")


def as_text(value):
    """A value as an answer in plain text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return dumps(value) if isinstance(value, dict) else str(value)


def ask_about(rng, fields):
    """(question, answer): the value of a key, the keys, or how many there are."""
    kind = rng.randrange(8)
    if kind == 0:
        question = rng.choice(("Which keys are there?", "What are the keys?", "List the keys."))
        return question, ", ".join(as_object(fields))
    if kind == 1:
        return rng.choice(("How many keys are there?", "How many keys does it have?")), str(len(fields))
    field = rng.choice(fields)
    return rng.choice(VALUE_WORDINGS).format(field.key), as_text(field.value)


def reading(rng):
    _, fields = draw_fields(rng, rng.randrange(1, 5))
    if rng.random() < 0.3:
        rng.shuffle(fields)
    data = dumps(as_object(fields))
    messages, asked = [], set()
    for i in range(rng.choice((1, 1, 2, 3))):
        question, answer = ask_about(rng, fields)
        if question in asked:
            continue
        asked.add(question)
        text = question if i else rng.choice(LAYOUTS).format(data=data, question=question)
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    answers = [message["content"] for message in messages[1::2]]
    return Exchange(DOMAIN, f"object {data}", messages, None, answers)


SENTENCE_WORDINGS = ("Write this JSON as a sentence: {}", "Say this in a sentence: {}",
                     "Turn this JSON into a sentence.\n{}", "Write a sentence from this JSON: {}",
                     "{}\nWrite it as a sentence.")


def saying(rng):
    """JSON -> one sentence with a clause for each key, in their order."""
    subject, fields = draw_fields(rng, rng.randrange(1, 4))
    data = dumps(as_object(fields))
    answer = join_clauses(subject, fields[0].value, [field.clause for field in fields[1:]])
    return ask(DOMAIN, f"object {data}", rng.choice(SENTENCE_WORDINGS).format(data), answer)


# ---- Changing ----

def change(rng, data, fields):
    """Another value for a key that came with the data."""
    field = rng.choice(fields)
    if field.key not in data:
        return None
    value = field.drawn(rng).value
    if isinstance(value, bool):
        value = not data[field.key]
    wording = rng.choice(("Change the {} to {}.", "Set {} to {}.", 'Set "{}" to {}.', "Change {} to {}.",
                          "Make the {} {}."))
    bare = isinstance(value, str) and rng.random() < 0.7
    return wording.format(field.key, value if bare else dumps(value)), {**data, field.key: value}


def add(rng, data, fields):
    """The last field, which the data did not have at first."""
    key, value = fields[-1].key, fields[-1].value
    if key in data:
        return None
    wording = rng.choice(("Add the key {} with the value {}.", 'Add the key "{}" with the value {}.', "Add {}: {}",
                          'Add "{}": {}'))
    return wording.format(key, dumps(value)), {**data, key: value}


def remove(rng, data, _):
    if len(data) < 2:
        return None
    key = rng.choice(list(data))
    wording = rng.choice(("Remove the {}.", "Remove the key {}.", 'Remove the key "{}".', "Delete {}.",
                          "Take out the {}."))
    return wording.format(key), {k: v for k, v in data.items() if k != key}


def rename(rng, data, _):
    key, new = rng.choice(list(data)), rng.choice(NEW_KEYS)
    if new in data:
        return None
    wording = rng.choice(("Rename the key {} to {}.", "Rename {} to {}.", 'Rename "{}" to "{}".'))
    return wording.format(key, new), {new if k == key else k: v for k, v in data.items()}


NEW_KEYS = ("title", "label", "info", "value", "note", "field")
CHANGES = {change: 5, add: 3, remove: 3, rename: 2}
CHANGE_BAG = [how for how, weight in CHANGES.items() for _ in range(weight)]  # drawn from evenly
CHANGE_LAYOUTS = ("{data}\n{question}", "{question}\n{data}", "Here is some JSON: {data}\n{question}",
                  "{data}\n\n{question} Reply in JSON.")


def changing(rng):
    """JSON and a change -> the new JSON; now and then a second change of the result."""
    _, fields = draw_fields(rng, rng.randrange(2, 5))  # the last of them is there to be added
    if rng.random() < 0.3:
        rng.shuffle(fields)
    data, messages = as_object(fields[:-1]), []
    key = f"object {dumps(data)}"
    n_messages = 2 if rng.random() < 0.7 else 4
    while len(messages) < n_messages:
        made = rng.choice(CHANGE_BAG)(rng, data, fields)
        if made is None:
            continue
        question, new = made
        question = question if messages else rng.choice(CHANGE_LAYOUTS).format(data=dumps(data), question=question)
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": dumps(new)}]
        data = new
    return Exchange(DOMAIN, key, messages)


KINDS = {extraction: 10, reading: 4, saying: 2, changing: 4}


def exchange(rng: random.Random):
    return choose(rng, KINDS)(rng)
