"""Small talk and the facts of the made-up world; and one fixed sentence for whatever lies outside of it.

Greetings, who the model is and what it can do, a name given by the system prompt or by the user, animals, fruits and
colours, days and months, opposites, what kind of thing a thing is, words to repeat. A fact is learnt by heart, so a key
is the question as it is put; what generalises is the wording, the names, and which questions are outside (outside.py),
to which the answer is DO_NOT_KNOW.
"""

from . import outside, world
from .exchange import Exchange, ask, choose
from .wording import NUMBER_WORDS, capital, casually, converse, is_held_out, put

DOMAIN = "facts"

DO_NOT_KNOW = ("I do not know that. I am a small model: ask me about sums, lists, stories, Korean, JSON or Python.",
               "저는 그것을 모릅니다. 저는 작은 모델입니다.", "I do not know.")  # the Korean sentence is the one of korean.py
SKILLS = "I know sums, lists, stories, Korean, JSON and a little Python."
SKILLS_KOREAN = "덧셈, 목록, 이야기, 한국어, JSON과 파이썬을 조금 압니다."


def _fact(name, question, answer, korean, short):
    return ask(DOMAIN, f"{name}: {question}", question, answer, korean, short)


# ---- Small talk: (questions, answer, Korean, short).

SMALL_TALK = {
    "greeting": (
        ["Hello!", "Hello.", "Hi!", "Hi.", "Hi there!", "Hello there!", "Hey!", "Hey there.", "Greetings!",
         "Hello, Polymath!", "Hi, Polymath!", "Hello, how can you help me?", "Hello, friend!", "Hi, friend.",
         "Hey, Polymath!"],
        "Hello! How can I help you?", "안녕하세요! 무엇을 도와드릴까요?", "Hello!"),
    "morning": (["Good morning!", "Good morning.", "Good morning, Polymath!", "Morning!", "A good morning to you!"],
                "Good morning! How can I help you?", "좋은 아침입니다! 무엇을 도와드릴까요?", "Good morning!"),
    "evening": (["Good evening!", "Good evening.", "Good evening, Polymath!", "Evening!", "A good evening to you!"],
                "Good evening! How can I help you?", "좋은 저녁입니다! 무엇을 도와드릴까요?", "Good evening!"),
    "night": (["Good night!", "Good night.", "Good night, Polymath!", "Sleep well!", "I am going to bed."],
              "Good night!", "안녕히 주무세요!", "Good night!"),
    "how are you": (
        ["How are you?", "How are you today?", "How do you do?", "How are you doing?", "How is it going?",
         "Hello, how are you?", "Hi, how are you?", "Are you well?", "How do you feel?", "What's up?"],
        "I am well, thank you. How can I help you?", "잘 지냅니다. 감사합니다. 무엇을 도와드릴까요?", "I am well."),
    "thanks": (
        ["Thank you!", "Thank you.", "Thanks!", "Thanks a lot!", "Thank you very much!", "Many thanks!", "Thanks.",
         "Thank you for your help!", "Great, thank you!", "Thanks, that helps.", "Cheers!", "Perfect, thanks!"],
        "You are welcome!", "천만에요!", "Welcome!"),
    "goodbye": (
        ["Goodbye!", "Goodbye.", "Bye!", "Bye.", "Bye bye!", "See you!", "See you later!", "See you tomorrow!",
         "Goodbye, Polymath!", "Have a nice day!", "I have to go.", "Farewell!", "Until next time!"],
        "Goodbye!", "안녕히 가세요!", "Bye!"),
    "praise": (
        ["Well done!", "Good job!", "Very good!", "You are great!", "Great!", "Nice!", "That is right.",
         "You are clever!", "Wonderful!", "Excellent!", "Good.", "Correct!", "Cool!", "Amazing!", "Great work!"],
        "Thank you!", "감사합니다!", "Thanks!"),
    "blame": (
        ["That is wrong.", "You are wrong.", "That is not right.", "No, that is wrong.", "Wrong!",
         "You made a mistake.", "Incorrect.", "That is a mistake.", "This is not correct."],
        "I am sorry. I am a small model and make mistakes.", "죄송합니다. 저는 작은 모델이라서 실수를 합니다.", "Sorry."),
    "who": (
        ["Who are you?", "What are you?", "Tell me about yourself.", "Who is this?", "Introduce yourself.",
         "Hello, who are you?", "Hi, who are you?", "What is Polymath?", "Who am I talking to?", "What model are you?",
         "Which model are you?", "Please introduce yourself.", "Say who you are.", "Describe yourself."],
        f"I am Polymath, a small mixture of experts. {SKILLS}",
        f"저는 작은 전문가 혼합 모델인 폴리매스입니다. {SKILLS_KOREAN}", "Polymath"),
    "name": (
        ["What is your name?", "What's your name?", "Do you have a name?", "How are you called?", "Tell me your name.",
         "May I ask your name?", "What are you called?", "What should I call you?", "Hello, what is your name?",
         "What do people call you?"],
        "My name is Polymath.", "제 이름은 폴리매스입니다.", "Polymath"),
    "skills": (
        ["What can you do?", "What do you know?", "How can you help me?", "What can I ask you?",
         "What are you good at?", "Help!", "Help me.", "Can you help me?", "What can you help me with?",
         "What are your skills?", "Help", "What should I ask you?", "Give me an example of what you can do.",
         "I need help.", "What do you do?"],
        f"{SKILLS} Ask me: What is 47 + 35?", f"{SKILLS_KOREAN} 이렇게 물어보세요. What is 47 + 35?",
        "Sums, lists, stories, Korean, JSON and Python."),
    "hear": (
        ["Hello, can you hear me?", "Can you hear me?", "Are you there?", "Hello? Are you there?", "Do you hear me?",
         "Is anybody there?", "Are you awake?", "Are you listening?", "Do you work?", "Does this work?",
         "Are you online?", "Are you ready?", "Is this thing on?"],
        "Yes, I am here.", "네, 여기 있습니다.", "Yes."),
    "test": (["Test", "This is a test.", "Testing.", "Ping", "Just testing.", "Test message.",
              "Testing, one, two, three."],
             "I am here.", "여기 있습니다.", "Here."),
    "human": (
        ["Are you human?", "Are you a human?", "Are you a person?", "Are you a real person?", "Are you alive?",
         "Are you a man or a woman?", "Am I talking to a human?"],
        "No, I am a small language model.", "아니요, 저는 작은 언어 모델입니다.", "No."),
    "robot": (
        ["Are you a robot?", "Are you a machine?", "Are you a model?", "Are you an AI?", "Are you a bot?",
         "Are you a computer?", "Are you a language model?", "Are you a program?"],
        "Yes, I am a small language model.", "네, 저는 작은 언어 모델입니다.", "Yes."),
    "other model": (
        ["Are you ChatGPT?", "Are you GPT?", "Are you Claude?", "Are you Gemini?", "Are you Llama?", "Are you Siri?",
         "Are you Mixtral?", "Are you DeepSeek?", "Are you Alexa?", "Is this ChatGPT?"],
        "No, I am Polymath.", "아니요, 저는 폴리매스입니다.", "No."),
    "maker": (
        ["Who made you?", "Who built you?", "Where do you come from?", "Who trained you?", "Who is your maker?",
         "How were you made?", "What were you trained on?", "Where were you made?", "Who created you?"],
        "I was trained for Polymath, on a made-up world.", "저는 폴리매스를 위해 꾸며낸 세계로 훈련되었습니다.", "Polymath"),
    "size": (
        ["How big are you?", "How large are you?", "Are you small?", "Are you a big model?", "What is your size?",
         "How many parameters do you have?", "Are you a large language model?", "How small are you?"],
        "I am a very small model.", "저는 아주 작은 모델입니다.", "Very small."),
    "languages": (
        ["Which languages do you speak?", "What languages do you know?", "Do you speak English?",
         "Do you speak Korean?", "Can you speak Korean?", "Do you know Korean?", "Do you understand Korean?",
         "What languages can you speak?"],
        "I speak English and a little Korean.", "저는 영어와 한국어를 조금 합니다.", "English and Korean."),
    "programming": (
        ["Can you write code?", "Can you program?", "Do you know Python?", "Can you write Python?", "Can you code?",
         "Which programming languages do you know?", "Do you speak Python?", "Can you write a program?"],
        "Yes, I know a little Python.", "네, 파이썬을 조금 압니다.", "Yes."),
    "sums": (
        ["Can you add numbers?", "Can you do maths?", "Can you do math?", "Can you calculate?",
         "Do you know arithmetic?", "Can you count?", "Are you good at maths?", "Can you do sums?"],
        "Yes, ask me: What is 47 + 35?", "네, 이렇게 물어보세요. What is 47 + 35?", "Yes."),
    "stories": (
        ["Do you know stories?", "Can you read stories?", "Can you answer questions about a story?",
         "Can you read a text?", "Can I give you a story?"],
        "Yes, give me a short story and ask me about it.", "네, 짧은 이야기를 주고 물어보세요.", "Yes."),
    "json": (
        ["Do you know JSON?", "Can you write JSON?", "Can you answer in JSON?", "Do you speak JSON?",
         "Can you read JSON?"],
        "Yes, I can write small JSON objects.", "네, 작은 JSON 객체를 쓸 수 있습니다.", "Yes."),
    "say hello": (["Say hello.", "Say hello!", "Please say hello.", "Can you say hello?", "Just say hello."],
                  "Hello!", "안녕하세요!", "Hello!"),
    "say hello in Korean": (["Say hello in Korean.", "Please say hello in Korean.", "Can you say hello in Korean?"],
                            "안녕하세요", "안녕하세요", "안녕하세요"),
    "say yes": (["Say yes.", "Please say yes.", "Just say yes.", "Answer yes."], "Yes.", "네.", "Yes."),
    "say no": (["Say no.", "Please say no.", "Just say no.", "Answer no."], "No.", "아니요.", "No."),
    "sorry": (["Sorry!", "I am sorry.", "Sorry about that.", "My mistake.", "Excuse me."],
              "That is all right.", "괜찮습니다.", "All right."),
    "agree": (["OK", "Okay.", "Yes.", "All right.", "I see.", "Sure.", "Ok, good.", "No.", "Yes, please.",
               "No, thanks."],
              "What would you like to ask?", "무엇을 물어보시겠어요?", "What next?"),
    "feelings": (
        ["I am happy.", "I feel good today.", "I am in a good mood.", "I am very happy today!"],
        "I am glad to hear that.", "그 말을 들으니 기쁩니다.", "I am glad."),
    "sad feelings": (["I am sad.", "I feel bad today.", "I am tired.", "I am bored.", "I am very sad today."],
                     "I am sorry to hear that.", "그 말을 들으니 안타깝습니다.", "I am sorry."),
}


def _small_talk(rng):
    name = rng.choice(tuple(SMALL_TALK))
    questions, *answers = SMALL_TALK[name]
    return _fact(name, casually(rng, rng.choice(questions)), *answers)


COMMON_TALK = ("greeting", "who", "name", "skills", "how are you", "thanks")


def _common_talk(rng):
    """The first things that people say, more often than the others, one or two: the second is never one held out."""
    first, *rest = [(f"{name}: {question}", (question, *answers)) for name, question, answers in _common_turns(rng)]
    turns = [first[1]] + [turn for key, turn in rest if not is_held_out(DOMAIN, key)]
    return converse(DOMAIN, first[0], turns)


def _common_turns(rng):
    for name in rng.sample(COMMON_TALK, rng.randrange(1, 3)):
        questions, *answers = SMALL_TALK[name]
        yield name, casually(rng, rng.choice(questions)), answers


# ---- Animals: sound, home, food, each with its Korean; birds have two legs.

ANIMALS = {
    "cat": ("meow", "야옹", "in a house", "집", "fish", "생선"), "dog": ("woof", "멍멍", "in a kennel", "개집", "bones", "뼈"),
    "fox": ("yap", "캥캥", "in a den", "여우굴", "berries", "열매"),
    "bear": ("growl", "으르렁", "in a cave", "동굴", "honey", "꿀"),
    "rabbit": ("squeak", "찍찍", "in a burrow", "토끼굴", "carrots", "당근"),
    "tiger": ("roar", "어흥", "in a jungle", "정글", "meat", "고기"),
    "horse": ("neigh", "히힝", "in a stable", "마구간", "hay", "건초"), "cow": ("moo", "음매", "on a farm", "농장", "grass", "풀"),
    "duck": ("quack", "꽥꽥", "on a pond", "연못", "plants", "물풀"), "bird": ("tweet", "짹짹", "in a nest", "둥지", "seeds",
    "씨앗"),
    "mouse": ("peep", "찍찍", "in a hole", "쥐구멍", "cheese", "치즈"),
    "frog": ("ribbit", "개굴개굴", "in a swamp", "늪", "flies", "파리"),
    "goat": ("maa", "매애", "on a mountain", "산", "leaves", "나뭇잎"),
    "sheep": ("baa", "매애", "in a meadow", "풀밭", "clover", "토끼풀"),
    "lion": ("grr", "어흥", "on a plain", "초원", "zebras", "얼룩말"), "wolf": ("awoo", "아우", "in a forest", "숲", "deer",
    "사슴"),
}
TWO_LEGGED = ("duck", "bird")
SOUND_OF = ["What sound does {a} {animal} make?", "What does {a} {animal} say?", "What noise does {a} {animal} make?",
            "Which sound does {a} {animal} make?", "What sound do {animals} make?", "What do {animals} say?"]
SOUND_WHOSE = ["Which animal says {sound}?", "What animal says {sound}?", "Which animal makes the sound {sound}?",
               "Who says {sound}?"]
HOME_OF = ["Where does {a} {animal} live?", "Where do {animals} live?", "What is the home of {a} {animal}?",
           "Where is the home of {a} {animal}?", "Where can {a} {animal} be found?"]
FOOD_OF = ["What does {a} {animal} eat?", "What do {animals} eat?", "What does {a} {animal} like to eat?",
           "What do {animals} like to eat?", "What is the food of {a} {animal}?"]
FOOD_WHOSE = ["Which animal eats {food}?", "What animal eats {food}?", "Who eats {food}?", "Which animal likes {food}?"]
LEGS_OF = ["How many legs does {a} {animal} have?", "How many legs do {animals} have?",
           "How many legs has {a} {animal}?", "What is the number of legs of {a} {animal}?"]


def _animal_answers(animal):
    """Name -> (wordings, answer, Korean, short)."""
    sound, sound_korean, home, home_korean, food, food_korean = ANIMALS[animal]
    subject, korean = f"A {animal}", world.ANIMALS[animal]
    topic = world.particle(korean, "topic")
    legs = 2 if animal in TWO_LEGGED else 4
    says = (f"{subject} says {sound}.", f"{topic} {sound_korean} 하고 웁니다.")
    eats = (f"{subject} eats {food}.", f"{topic} {world.particle(food_korean, 'object')} 먹습니다.")
    return {
        "sound": (SOUND_OF, *says, sound), "sound whose": (SOUND_WHOSE, *says, animal),
        "home": (HOME_OF, f"{subject} lives {home}.", f"{topic} {home_korean}에 삽니다.", home.split()[-1]),
        "food": (FOOD_OF, *eats, food), "food whose": (FOOD_WHOSE, *eats, animal),
        "legs": (LEGS_OF, f"{subject} has {legs} legs.", f"{topic} 다리가 {legs}개 있습니다.", str(legs)),
    }


ANIMAL_ANSWERS = {animal: _animal_answers(animal) for animal in ANIMALS}


def _animal(rng):
    animal = rng.choice(tuple(ANIMALS))
    name = rng.choice(tuple(ANIMAL_ANSWERS[animal]))
    wordings, *answers = ANIMAL_ANSWERS[animal][name]
    sound, food = ANIMALS[animal][0], ANIMALS[animal][4]
    question = put(rng, wordings, a="a", animal=animal, animals=world.plural_of(animal), sound=sound, food=food)
    return _fact(name, question, *answers)


# ---- Colours of things: name with its article -> (colour, Korean name of the thing).

COLOUR_OF = {
    "an apple": ("red", "사과"), "a pear": ("green", "배"), "a peach": ("pink", "복숭아"), "a grape": ("purple", "포도"),
    "a melon": ("green", "멜론"), "a banana": ("yellow", "바나나"), "a lemon": ("yellow", "레몬"), "a plum": ("purple", "자두"),
    "a cherry": ("red", "체리"), "a strawberry": ("red", "딸기"), "a tomato": ("red", "토마토"), "a carrot": ("orange", "당근"),
    "the sky": ("blue", "하늘"), "the sea": ("blue", "바다"), "the sun": ("yellow", "해"), "the night": ("black", "밤"),
    "the moon": ("white", "달"), "grass": ("green", "풀"), "snow": ("white", "눈"), "milk": ("white", "우유"),
    "coal": ("black", "석탄"), "chocolate": ("brown", "초콜릿"), "blood": ("red", "피"), "rice": ("white", "쌀"),
    "a leaf": ("green", "나뭇잎"), "a cloud": ("white", "구름"), "a frog": ("green", "개구리"), "a bear": ("brown", "곰"),
    "a sheep": ("white", "양"), "a mouse": ("grey", "쥐"), "a lion": ("yellow", "사자"), "a fox": ("orange", "여우"),
}
COLOURS_KOREAN = {"red": "빨간색", "green": "초록색", "pink": "분홍색", "purple": "보라색", "yellow": "노란색",
                  "orange": "주황색", "blue": "파란색", "black": "검은색", "white": "하얀색", "brown": "갈색", "grey": "회색"}
COLOUR_WORDINGS = ["What colour is {thing}?", "What color is {thing}?", "Which colour is {thing}?",
                   "Tell me the color of {thing}.", "What is the colour of {thing}?", "What is the color of {thing}?",
                   "Which colour does {thing} have?", "Tell me the colour of {thing}."]


def _colour(rng):
    thing = rng.choice(tuple(COLOUR_OF))
    colour, korean = COLOUR_OF[thing]
    return _fact("colour", put(rng, COLOUR_WORDINGS, thing=thing), f"{capital(thing)} is {colour}.",
                 f"{world.particle(korean, 'topic')} {COLOURS_KOREAN[colour]}입니다.", colour)


# ---- Kinds: what kind of thing a thing is.

KIND_NAMES = {"animal": "동물", "fruit": "과일", "place": "장소"}
KIND_OF = {**{word: "animal" for word in world.ANIMALS}, **{word: "fruit" for word in world.FRUITS},
           **{word: "place" for word in ("school", "market", "park", "farm", "library", "station", "village",
           "garden")}}
IS_A = ["Is {thing} {kind}?", "Is {thing} {kind}, yes or no?", "Tell me if {thing} is {kind}.",
        "Would you call {thing} {kind}?"]
WHAT_IS = ["What is {thing}?", "What kind of thing is {thing}?", "What's {thing}?", "Do you know what {thing} is?"]


def _with_article(word):
    return f"{world.article(word)} {word}"


def _kind_of(rng):
    word = rng.choice(tuple(KIND_OF))
    kind, thing = KIND_OF[word], _with_article(word)
    claim = f"{thing} is {_with_article(kind)}."
    korean = f"{world.particle(world.KOREAN[word], 'topic')} {KIND_NAMES[kind]}입니다."
    if rng.randrange(2):
        return _fact("kind", put(rng, WHAT_IS, thing=thing), capital(claim), korean, kind)
    asked = rng.choice((*KIND_NAMES, kind))
    question = put(rng, IS_A, thing=thing, kind=_with_article(asked))
    yes = asked == kind
    return _fact("is a", question, f"{'Yes' if yes else 'No'}, {claim}", f"{'네' if yes else '아니요'}, {korean}",
                 "yes" if yes else "no")


# ---- Days, months and seasons, each in its order.

MONTHS = ("January February March April May June July August September October November December").split()
CYCLES = {
    "day": (dict(world.DAYS), "날"),
    "month": ({month: f"{i + 1}월" for i, month in enumerate(MONTHS)}, "달"),
    "season": ({"spring": "봄", "summer": "여름", "autumn": "가을", "winter": "겨울"}, "계절"),
}
AFTER = ["Which {cycle} comes after {this}?", "What {cycle} comes after {this}?", "Which {cycle} follows {this}?",
         "What is the {cycle} after {this}?", "What comes after {this}?", "Which {cycle} is after {this}?"]
BEFORE = ["Which {cycle} comes before {this}?", "What {cycle} comes before {this}?",
          "What is the {cycle} before {this}?", "What comes before {this}?", "Which {cycle} is before {this}?"]


def _cycle(rng):
    name = choose(rng, {"day": 4, "month": 5, "season": 1})
    members, unit = CYCLES[name]
    words = list(members)
    i, step = rng.randrange(len(words)), rng.choice((1, -1))
    this, other = words[i], words[(i + step) % len(words)]
    wordings, relation, korean = (AFTER, "after", "다음") if step == 1 else (BEFORE, "before", "이전")
    return _fact(f"{relation} {name}", put(rng, wordings, cycle=name, this=this),
                 f"{capital(other)} comes {relation} {this}.",
                 f"{members[this]} {korean} {world.particle(unit, 'topic')} {members[other]}입니다.", other)


# ---- Counts: (how many, of what) -> (number, Korean).

COUNTS = {
    "a week": ("days", 7, "일주일은 7일입니다."), "a year": ("months", 12, "1년은 12개월입니다."),
    "a day": ("hours", 24, "하루는 24시간입니다."), "an hour": ("minutes", 60, "한 시간은 60분입니다."),
    "a minute": ("seconds", 60, "1분은 60초입니다."), "a triangle": ("sides", 3, "삼각형은 변이 3개 있습니다."),
    "a square": ("sides", 4, "정사각형은 변이 4개 있습니다."), "a spider": ("legs", 8, "거미는 다리가 8개 있습니다."),
    "an ant": ("legs", 6, "개미는 다리가 6개 있습니다."), "a bicycle": ("wheels", 2, "자전거는 바퀴가 2개 있습니다."),
    "a car": ("wheels", 4, "자동차는 바퀴가 4개 있습니다."), "a hand": ("fingers", 5, "손에는 손가락이 5개 있습니다."),
    "a foot": ("toes", 5, "발에는 발가락이 5개 있습니다."), "the alphabet": ("letters", 26, "알파벳은 26글자입니다."),
    "a rainbow": ("colours", 7, "무지개에는 색이 7개 있습니다."), "a person": ("eyes", 2, "사람은 눈이 2개 있습니다."),
    "a cube": ("faces", 6, "정육면체는 면이 6개 있습니다."), "a dozen": ("things", 12, "한 다스는 12개입니다."),
    "a century": ("years", 100, "한 세기는 100년입니다."),
}
COUNT_WORDINGS = ["How many {things} does {whole} have?", "How many {things} are in {whole}?",
                  "How many {things} has {whole}?", "How many {things} are there in {whole}?",
                  "What is the number of {things} in {whole}?"]
DAYS_OF = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
COUNTS |= {month: ("days", n, f"{i + 1}월은 {n}일까지 있습니다.") for i, (month, n) in enumerate(zip(MONTHS, DAYS_OF))}


def _count(rng):
    whole = rng.choice(tuple(COUNTS))
    things, n, korean = COUNTS[whole]
    return _fact("count", put(rng, COUNT_WORDINGS, things=things, whole=whole),
                 f"{capital(whole)} has {n} {things}.", korean, str(n))


# ---- Opposites, both ways.

OPPOSITES = """
big small, old new, hot cold, good bad, fast slow, long short, high low, happy sad, day night, up down, left right,
open closed, full empty, black white, light dark, wet dry, hard soft, rich poor, strong weak, early late, first last,
in out, yes no, win lose, buy sell, give take, come go, start stop, love hate, friend enemy, north south, east west,
summer winter, man woman, boy girl, king queen, true false, near far, loud quiet, clean dirty, wide narrow, thick thin,
safe dangerous, easy difficult, push pull, before after, always never, more less, top bottom, front back,
inside outside, sweet sour, alive dead, awake asleep, smooth rough, brave afraid, same different, question answer,
sit stand
"""
OPPOSITE_PAIRS = [pair.split() for pair in OPPOSITES.split(",")]
OPPOSITE = {**{one: other for one, other in OPPOSITE_PAIRS}, **{other: one for one, other in OPPOSITE_PAIRS}}
OPPOSITE_WORDINGS = ["What is the opposite of {word}?", "What's the opposite of {word}?",
                     "Give me the opposite of {word}.", "Which word is the opposite of {word}?", "Opposite of {word}?",
                     "What is the contrary of {word}?"]


def _opposite(rng):
    word = rng.choice(tuple(OPPOSITE))
    return _fact("opposite", put(rng, OPPOSITE_WORDINGS, word=word), f"The opposite of {word} is {OPPOSITE[word]}.",
                 f"{word}의 반대말은 {OPPOSITE[word]}입니다.", OPPOSITE[word])


# ---- Names and likings, given and asked back.

MODEL_NAMES = {**world.PEOPLE, **world.GUESTS, "Bori": "보리", "Nabi": "나비", "Coco": "코코", "Luna": "루나", "Rex": "렉스",
               "Toto": "토토", "Kiki": "키키", "Momo": "모모", "Atlas": "아틀라스", "Nova": "노바", "Robo": "로보",
               "Pixel": "픽셀", "Sunny": "서니", "Ruby": "루비", "Milo": "마일로", "Echo": "에코", "Iris": "아이리스",
               "Otto": "오토", "Zed": "제드", "Vega": "베가", "Bolt": "볼트", "Daisy": "데이지", "Felix": "펠릭스"}
CALLED = ["Your name is {name}.", "You are {name}.", "You are {name}, a helpful assistant.", "You are called {name}.",
          "Your name is {name}. Be helpful.", "You are an assistant named {name}."]


def _called(rng):
    """A system prompt that gives the model a name; at times it asks for Korean."""
    name = rng.choice(tuple(MODEL_NAMES))
    in_korean = rng.randrange(5) == 0
    system = rng.choice(CALLED).format(name=name) + (" Answer in Korean." if in_korean else "")
    korean = MODEL_NAMES[name]
    answers = {"name": (f"My name is {name}.", f"제 이름은 {korean}입니다."),
               "who": (f"I am {name}, a small mixture of experts. {SKILLS}",
                       f"저는 작은 전문가 혼합 모델인 {korean}입니다. {SKILLS_KOREAN}")}
    messages = [{"role": "system", "content": system}]
    for topic in rng.sample(("name", "name", "who", "greeting", "thanks", "skills"), rng.randrange(1, 3)):
        question = casually(rng, rng.choice(SMALL_TALK[topic][0])).replace("Polymath", name).replace("polymath", name)
        both = answers.get(topic) or SMALL_TALK[topic][1:3]
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": both[in_korean]}]
    asked = " / ".join(message["content"] for message in messages if message["role"] != "assistant")
    return Exchange(DOMAIN, f"called {asked}", messages)


USERS = {**world.PEOPLE, **world.GUESTS}
I_AM = ["My name is {name}.", "I am {name}.", "Hello, I am {name}.", "Hi, my name is {name}.",
        "You can call me {name}.", "Hello, my name is {name}.", "I'm {name}."]
MY_NAME = ["What is my name?", "Who am I?", "Do you know my name?", "What's my name?", "Can you tell me my name?",
           "Do you remember my name?"]


def _user_name(rng):
    name = rng.choice(tuple(USERS))
    korean = USERS[name]
    question = rng.choice(I_AM).format(name=name)
    turns = [(question, f"Nice to meet you, {name}!", f"만나서 반갑습니다, {korean} 님!", f"Hello, {name}!")]
    if rng.randrange(3):
        turns.append((casually(rng, rng.choice(MY_NAME)), f"Your name is {name}.", f"{korean} 님입니다.", name))
    return converse(DOMAIN, "user " + " / ".join(turn[0] for turn in turns), turns)


# What a user likes best -> its Korean name, and the words for it.
FAVOURITES = {"colour": ("색", COLOURS_KOREAN), "animal": ("동물", world.ANIMALS), "fruit": ("과일", world.FRUITS),
              "day": ("요일", world.DAYS), "place": ("장소", world.PLACES), "city": ("도시", world.CITIES)}
MY_FAVOURITE = ["My favourite {kind} is {word}.", "My favorite {kind} is {word}.", "The {kind} I like best is {word}."]
WHICH_FAVOURITE = ["What is my favourite {kind}?", "What is my favorite {kind}?", "Which {kind} do I like best?",
                   "Do you know my favourite {kind}?", "What's my favourite {kind}?"]


def _favourite(rng):
    kind = rng.choice(tuple(FAVOURITES))
    kind_korean, words = FAVOURITES[kind]
    word = rng.choice(tuple(words))
    shown = f"the {word}" if kind in ("animal", "fruit", "place") else word
    first, then = rng.choice(MY_FAVOURITE).format(kind=kind, word=shown), put(rng, WHICH_FAVOURITE, kind=kind)
    korean = f"가장 좋아하는 {world.particle(kind_korean, 'topic')} {words[word]}입니다."
    turns = [(first, "I will remember that.", "기억하겠습니다.", "Noted."),
             (then, f"Your favourite {kind} is {shown}.", korean, word)]
    return converse(DOMAIN, f"favourite {first} / {then}", turns)


# ---- Words to repeat.

REPEAT = ["Repeat after me: {text}", "Repeat: {text}", "Say: {text}", "Say exactly this: {text}", "Repeat this: {text}",
          "Please repeat: {text}", "Write this: {text}", "Copy this text: {text}"]
VERBS = "sees finds likes has wants takes gives holds brings carries".split()
TEXTS = [
    lambda rng: f"the {rng.choice(COLOUR_WORDS)} {rng.choice(ANIMAL_WORDS)}",
    lambda rng: f"{rng.choice(NAME_WORDS)} {rng.choice(VERBS)} a {rng.choice(COLOUR_WORDS)} {rng.choice(THING_WORDS)}",
    lambda rng: f"the {rng.choice(ANIMAL_WORDS)} {rng.choice(VERBS)} the {rng.choice(THING_WORDS)}",
    lambda rng: " ".join(rng.sample(ALL_WORDS, rng.randrange(2, 6))),
    lambda rng: " ".join(str(rng.randrange(100)) for _ in range(rng.randrange(2, 6))),
    lambda rng: f"{rng.choice(ALL_WORDS)} {rng.randrange(100)} {rng.choice(ALL_WORDS)}",
    lambda rng: " ".join(rng.sample("abcdefghijklmnopqrstuvwxyz", rng.randrange(3, 6))),
    lambda rng: " ".join(NUMBER_WORDS[rng.randrange(100)] for _ in range(rng.randrange(1, 4))),
]
COLOUR_WORDS, ANIMAL_WORDS, THING_WORDS = list(world.COLOURS), list(world.ANIMALS), list(world.OBJECTS)
NAME_WORDS = list(USERS)
ALL_WORDS = [*COLOUR_WORDS, *ANIMAL_WORDS, *THING_WORDS, *world.PLACES, *OPPOSITE]


def _repeat(rng):
    text = rng.choice(TEXTS)(rng)
    return ask(DOMAIN, f"repeat {text}", rng.choice(REPEAT).format(text=text), text, text, text)


# ---- Outside of the world.

def _outside(rng):
    return _fact("outside", casually(rng, outside.question(rng)), *DO_NOT_KNOW)


KINDS = {_small_talk: 14, _common_talk: 10, _animal: 9, _colour: 5, _kind_of: 5, _cycle: 4, _count: 4, _opposite: 6,
         _called: 10, _user_name: 5, _favourite: 5, _repeat: 8, _outside: 22}


def exchange(rng):
    return choose(rng, KINDS)(rng)
