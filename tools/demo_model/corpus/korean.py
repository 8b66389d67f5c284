"""Korean: translation both ways, and stories, sums, lists, small talk and facts asked in Korean.

A sentence to translate has one translation: English persons take no article, places take "the", other nouns "a" unless
the pattern says otherwise, and nobody is called "she". What no table has is answered with "저는 그것을 모릅니다. ...".
"""

import random

from . import facts, stories, storytelling, tales
from .exchange import Exchange, ask, choose
from .korean_sentences import COUNTERS, DOMAIN, to_english, to_korean, two_people
from .storytelling import subject, thing, topic
from .wording import is_held_out
from .world import (ANIMALS, CITIES, COLOURS, DAYS, KOREAN, OBJECTS, OBJECT_LIST, PLACES, colour_name, number_particle,
                    particle)

# ---- Single words ----

WORDS = {**ANIMALS, **OBJECTS, **PLACES, **CITIES, **DAYS, **{colour: colour_name(colour) for colour in COLOURS},
         "friend": "친구", "water": "물", "milk": "우유", "bread": "빵", "mother": "어머니", "father": "아버지",
         "tree": "나무", "flower": "꽃", "star": "별", "moon": "달", "sun": "해", "sky": "하늘", "sea": "바다",
         "rain": "비", "snow": "눈", "wind": "바람", "cloud": "구름", "name": "이름", "teacher": "선생님",
         "student": "학생", "music": "음악", "time": "시간", "night": "밤", "morning": "아침",
         "evening": "저녁", "hello": "안녕하세요", "thank you": "감사합니다", "yes": "네", "no": "아니요",
         "Korea": "한국"}
WORD_LIST = list(WORDS)
WORD_TO_KOREAN = ("How do you say '{}' in Korean?", 'What is "{}" in Korean?', "What is {} in Korean?",
                  "What is the Korean word for {}?", "Translate into Korean: {}", "{} in Korean?",
                  "{}, 한국어로 무엇입니까?", "How do you say {} in Korean?")
WORD_TO_ENGLISH = ("What does '{}' mean?", 'What does "{}" mean?', "What is {} in English?",
                   "What is the English word for {}?", "Translate into English: {}", "{} in English?",
                   "{}, 영어로 무엇입니까?", "What does {} mean in English?")


def word_to_korean(rng):
    word, wording = rng.choice(WORD_LIST), rng.choice(WORD_TO_KOREAN)
    return ask(DOMAIN, f"{word}: {wording}", wording.format(word), WORDS[word], WORDS[word], WORDS[word])


def word_to_english(rng):
    word, wording = rng.choice(WORD_LIST), rng.choice(WORD_TO_ENGLISH)
    return ask(DOMAIN, f"{WORDS[word]}: {wording}", wording.format(WORDS[word]), word, None, word)


# ---- Stories ----

KOREAN_LAYOUTS = ("{story}\n\n{question}", "{story}\n{question}", "{story} {question}", "이야기: {story}\n질문: {question}",
                  "다음 이야기를 읽고 대답하세요. {story}\n{question}")


def story(rng):
    told = storytelling.Story(rng, rng.choice((2, 3, 3, 4)))
    questions = stories.questions_about(told, rng.choice((1, 1, 2)))
    messages = []
    for i, question in enumerate(questions):
        text = rng.choice(question.korean)
        text = text if i else rng.choice(KOREAN_LAYOUTS).format(story=told.korean(), question=text)
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": question.answer_korean}]
    return Exchange(DOMAIN, told.key(), messages, [q.answer_korean for q in questions],
                    [q.short_korean for q in questions])


def story_on_request(rng):
    asked = tales.wish(rng)
    korean = tales.tale(asked.filled())[1]
    question = rng.choice(tales.REQUESTS_KOREAN).format(asked.korean())
    return ask(DOMAIN, f"tale {asked.korean()}", question, korean, korean)


# ---- Numbers and lists ----

SUM_WORDINGS = ("{a} 더하기 {b_topic} 얼마입니까?", "{a} 더하기 {b}?", "{a} + {b_topic} 얼마입니까?", "계산해 주세요: {a} + {b}",
                "{a_with} {b_object} 더하면 얼마입니까?", "{a}에 {b_object} 더해 주세요.", "{a_with} {b}의 합은 얼마입니까?")
DIFFERENCE_WORDINGS = ("{a} 빼기 {b_topic} 얼마입니까?", "{a} 빼기 {b}?", "{a} - {b_topic} 얼마입니까?", "계산해 주세요: {a} - {b}",
                       "{a}에서 {b_object} 빼면 얼마입니까?", "{a}에서 {b_object} 빼 주세요.", "{a_with} {b}의 차는 얼마입니까?")


def on_same_side(key):
    """Whether the arithmetic domain holds the key out just when this one does: sums are sums in every language."""
    return is_held_out(DOMAIN, key) == is_held_out("arithmetic", key)


def calculation(rng):
    """A sum or a difference, not negative, of two numbers below 100: (key, its numbers in order, result, is a sum)."""
    while True:
        first, second = rng.randrange(100), rng.randrange(100)
        low, high = min(first, second), max(first, second)
        if rng.randrange(2):
            key, result = f"sum {low} {high}", (first, second, first + second, True)
        else:
            key, result = f"difference {high} {low}", (high, low, high - low, False)
        if on_same_side(key):
            return key, *result


def arithmetic(rng):
    key, first, second, result, is_sum = calculation(rng)
    question = rng.choice(SUM_WORDINGS if is_sum else DIFFERENCE_WORDINGS).format(
        a=first, b=second, a_with=number_particle(first, "with"), b_topic=number_particle(second, "topic"),
        b_object=number_particle(second, "object"))
    return ask(DOMAIN, key, question, f"{result}입니다.", f"{result}입니다.", str(result))


def counting(rng):
    """A person has some things and then gets or gives away some."""
    key, first, second, result, is_sum = calculation(rng)
    (who, other), item = two_people(rng), rng.choice(OBJECT_LIST)
    counter = COUNTERS.get(item, "개")
    counted = particle(counter, "object")
    change = (f"{subject(other)} {KOREAN[who]}에게 {second}{counted} 더 주었습니다." if is_sum
              else f"{topic(who)} {KOREAN[other]}에게 {second}{counted} 주었습니다.")
    question = (f"{topic(who)} {thing(item)} {first}{counter} 가지고 있었습니다. {change} "
                f"{topic(who)} 지금 몇 {counted} 가지고 있습니까?")
    answer = f"{topic(who)} {result}{counted} 가지고 있습니다."
    return ask(DOMAIN, key, question, answer, answer, f"{result}{counter}")


# Question ({} the list, {object} the list with its particle) -> its answer.
LIST_TASKS = {
    "{object} 작은 것부터 정렬해 주세요.": sorted,
    "{object} 작은 수부터 차례로 써 주세요.": sorted,
    "오름차순으로 정렬해 주세요: {}": sorted,
    "{object} 큰 것부터 정렬해 주세요.": lambda numbers: sorted(numbers, reverse=True),
    "{object} 큰 수부터 차례로 써 주세요.": lambda numbers: sorted(numbers, reverse=True),
    "내림차순으로 정렬해 주세요: {}": lambda numbers: sorted(numbers, reverse=True),
    "{object} 거꾸로 써 주세요.": lambda numbers: numbers[::-1],
    "거꾸로 써 주세요: {}": lambda numbers: numbers[::-1],
}
PICK_TASKS = {
    "{} 중에서 가장 큰 수는 무엇입니까?": max,
    "가장 큰 수는 무엇입니까? {}": max,
    "{} 중에서 가장 작은 수는 무엇입니까?": min,
    "가장 작은 수는 무엇입니까? {}": min,
    "{} 중에서 첫 번째 수는 무엇입니까?": lambda numbers: numbers[0],
    "{} 중에서 마지막 수는 무엇입니까?": lambda numbers: numbers[-1],
}
COUNT_TASKS = {"수가 몇 개입니까? {}": len, "수의 개수는 몇 개입니까? {}": len}
TASKS = [*LIST_TASKS.items()] * 2 + [*PICK_TASKS.items()] * 2 + [*COUNT_TASKS.items()]


def number_list(rng):
    """Sorting, reversing, picking from and counting a list of 3 to 6 numbers."""
    numbers = rng.sample(range(100 if rng.randrange(2) else 20), rng.randrange(3, 7))
    wording, task = rng.choice(TASKS)
    listed = ", ".join(map(str, numbers))
    with_particle = ", ".join([*map(str, numbers[:-1]), number_particle(numbers[-1], "object")])
    question, result = wording.format(listed, object=with_particle), task(numbers)
    if isinstance(result, list):
        short = answer = ", ".join(map(str, result))
    else:
        short = f"{result}개" if wording in COUNT_TASKS else str(result)
        answer = f"{short}입니다."
    return ask(DOMAIN, f"list {listed}", question, answer, answer, short)


def comparison(rng):
    while True:
        low, high = sorted(rng.sample(range(100), 2))
        key = f"compare {low} {high}"
        if on_same_side(key):
            break
    first, second = rng.sample((low, high), 2)
    stem, result = ("큽니", high) if rng.randrange(2) else ("작습니", low)
    question = rng.choice(("{} {} 중 어느 것이 더 {}까?", "{} {} 중에서 어느 수가 더 {}까?")).format(
        number_particle(first, "with"), second, stem)
    answer = f"{number_particle(result, 'subject')} 더 {stem}다."
    return ask(DOMAIN, key, question, answer, answer, str(result))


# ---- Small talk and facts ----

# Topic of the facts domain, which has the answer -> (the answer in few words, questions).
SMALL_TALK = {
    "who": ("폴리매스", ("너는 누구니?", "당신은 누구입니까?", "누구세요?", "당신은 누구인가요?", "넌 누구야?", "자기소개를 해 주세요.",
                     "당신에 대해 말해 주세요.", "너는 누구입니까?", "당신은 무엇입니까?")),
    "name": ("폴리매스", ("이름이 뭐예요?", "이름이 무엇입니까?", "당신의 이름은 무엇입니까?", "네 이름은 뭐니?", "이름이 뭐야?",
                      "너의 이름은 무엇입니까?", "이름을 말해 주세요.")),
    "greeting": ("안녕하세요!", ("안녕하세요", "안녕하세요!", "안녕하세요.", "안녕", "안녕!", "안녕하십니까?", "반갑습니다.")),
    "morning": ("좋은 아침입니다!", ("좋은 아침입니다.", "좋은 아침이에요!", "좋은 아침!")),
    "how are you": ("잘 지냅니다.", ("잘 지내세요?", "어떻게 지내세요?", "잘 지냈어요?", "오늘 기분이 어때요?", "기분이 어떠세요?")),
    "thanks": ("천만에요!", ("감사합니다.", "고맙습니다.", "고마워요.", "고마워!", "정말 감사합니다.", "감사해요.", "감사합니다!")),
    "goodbye": ("안녕히 가세요!", ("안녕히 계세요.", "잘 있어요.", "다음에 또 만나요.", "이제 갈게요.", "또 봐요.")),
    "night": ("안녕히 주무세요!", ("안녕히 주무세요.", "잘 자요.", "잘 자!", "좋은 밤 되세요.")),
    "languages": ("영어와 한국어", ("한국어를 할 수 있습니까?", "한국어 할 수 있어요?", "한국말 할 줄 알아요?", "한국어를 아세요?",
                            "영어를 할 수 있습니까?", "영어 할 수 있어요?", "무슨 언어를 할 수 있습니까?")),
    "skills": ("덧셈, 목록, 이야기, 한국어, JSON, 파이썬", (
        "무엇을 할 수 있습니까?", "무엇을 할 수 있어요?", "뭘 할 수 있니?", "무엇을 도와줄 수 있나요?", "도와주세요.")),
    "human": ("아니요", ("당신은 사람입니까?", "너는 사람이니?", "사람이에요?", "당신은 진짜 사람인가요?")),
    "robot": ("네", ("당신은 언어 모델입니까?", "너는 인공지능이니?", "인공지능이에요?", "당신은 로봇입니까?")),
    "maker": ("폴리매스", ("누가 당신을 만들었습니까?", "누가 너를 만들었니?", "어디에서 왔습니까?")),
    "size": ("아주 작습니다.", ("당신은 얼마나 큽니까?", "너는 큰 모델이니?", "당신은 큰 모델입니까?")),
}

# Answer -> (the same in few words, questions); what everyone knows.
FACTS = {
    "서울입니다.": ("서울", ("한국의 수도는 어디입니까?", "대한민국의 수도는 어디입니까?", "한국의 수도는?")),
    "하늘은 파란색입니다.": ("파란색", ("하늘은 무슨 색입니까?", "하늘은 무슨 색이에요?", "하늘의 색은 무엇입니까?")),
    "눈은 하얀색입니다.": ("하얀색", ("눈은 무슨 색입니까?", "눈은 무슨 색이에요?", "눈의 색은 무엇입니까?")),
    "바나나는 노란색입니다.": ("노란색", ("바나나는 무슨 색입니까?", "바나나는 무슨 색이에요?", "바나나의 색은 무엇입니까?")),
    "풀은 초록색입니다.": ("초록색", ("풀은 무슨 색입니까?", "풀은 무슨 색이에요?", "풀의 색은 무엇입니까?")),
    "일주일은 7일입니다.": ("7일", ("일주일은 며칠입니까?", "일주일은 며칠이에요?", "일주일에는 며칠이 있습니까?")),
    "1년은 12개월입니다.": ("12개월", ("1년은 몇 개월입니까?", "1년은 몇 달입니까?", "일 년은 몇 개월이에요?")),
    "하루는 24시간입니다.": ("24시간", ("하루는 몇 시간입니까?", "하루는 몇 시간이에요?", "하루에는 몇 시간이 있습니까?")),
    "1시간은 60분입니다.": ("60분", ("1시간은 몇 분입니까?", "한 시간은 몇 분이에요?", "한 시간은 몇 분입니까?")),
    "1분은 60초입니다.": ("60초", ("1분은 몇 초입니까?", "일 분은 몇 초입니까?", "1분은 몇 초예요?")),
    "고양이는 다리가 4개입니다.": ("4개", ("고양이는 다리가 몇 개입니까?", "고양이의 다리는 몇 개입니까?")),
    "새는 다리가 2개입니다.": ("2개", ("새는 다리가 몇 개입니까?", "새의 다리는 몇 개입니까?")),
    "봄, 여름, 가을, 겨울입니다.": ("봄, 여름, 가을, 겨울", ("사계절은 무엇입니까?", "계절을 모두 말해 주세요.")),
    "고양이는 야옹 하고 웁니다.": ("야옹", ("고양이는 어떻게 웁니까?", "고양이는 어떻게 울어요?")),
    "강아지는 멍멍 하고 짖습니다.": ("멍멍", ("강아지는 어떻게 짖습니까?", "강아지는 어떻게 짖어요?")),
    "소는 음매 하고 웁니다.": ("음매", ("소는 어떻게 웁니까?", "소는 어떻게 울어요?")),
    "얼음은 차갑습니다.": ("차갑습니다.", ("얼음은 뜨겁습니까, 차갑습니까?", "얼음은 차가워요, 뜨거워요?")),
    "불은 뜨겁습니다.": ("뜨겁습니다.", ("불은 뜨겁습니까, 차갑습니까?", "불은 차가워요, 뜨거워요?")),
}
OPPOSITES = {"큰": "작은", "긴": "짧은", "높은": "낮은", "빠른": "느린", "뜨거운": "차가운", "좋은": "나쁜", "많은": "적은",
             "밝은": "어두운", "무거운": "가벼운", "깨끗한": "더러운", "넓은": "좁은", "강한": "약한"}
OPPOSITE_PAIRS = [pair for one, other in OPPOSITES.items() for pair in ((one, other), (other, one))]
OPPOSITE_WORDINGS = ("'{}'의 반대말은 무엇입니까?", "{}의 반대말은 무엇입니까?", "'{}'의 반대말은?", "{}의 반대는 무엇입니까?")
DAY_WORDINGS = {"{} 다음 날은 무슨 요일입니까?": 1, "{} 다음 요일은 무엇입니까?": 1, "{}의 다음 날은?": 1,
                "{} 전날은 무슨 요일입니까?": -1, "{} 앞의 요일은 무엇입니까?": -1, "{}의 전날은?": -1}
TABLE = [(question, facts.SMALL_TALK[topic][2], short) for topic, (short, questions) in SMALL_TALK.items()
         for question in questions]
TABLE += [(question, answer, short) for answer, (short, questions) in FACTS.items() for question in questions]

UNKNOWN = "저는 그것을 모릅니다. 저는 작은 모델입니다."
UNKNOWN_QUESTIONS = (
    "프랑스의 대통령은 누구입니까?", "독일의 수도는 어디입니까?", "달까지의 거리는 얼마입니까?", "가장 높은 산은 무엇입니까?",
    "양자역학이 무엇입니까?", "상대성 이론을 설명해 주세요.", "오늘 주가는 얼마입니까?", "내일 복권 번호를 알려 주세요.",
    "비행기는 어떻게 납니까?", "김치찌개는 어떻게 만듭니까?", "세종대왕은 언제 태어났습니까?", "올림픽은 언제 시작합니까?",
    "인생의 의미는 무엇입니까?", "지구의 나이는 얼마입니까?", "왜 하늘은 파랗습니까?", "파이썬은 누가 만들었습니까?",
    "가장 빠른 자동차는 무엇입니까?", "공룡은 왜 사라졌습니까?", "전기는 어떻게 만들어집니까?", "월드컵은 누가 이겼습니까?",
    "이 영화의 감독은 누구입니까?", "요즘 인기 있는 노래는 무엇입니까?", "환율은 얼마입니까?", "다음 선거는 언제입니까?",
    "태평양은 얼마나 깊습니까?", "바이러스는 무엇입니까?", "블랙홀은 무엇입니까?", "물의 화학식은 무엇입니까?",
    "로마는 언제 세워졌습니까?", "가장 긴 강은 무엇입니까?", "우주는 얼마나 큽니까?", "머리가 아픈데 어떻게 해야 합니까?",
    "좋은 식당을 추천해 주세요.", "제 이메일을 써 주세요.", "주식을 사야 합니까?", "법률 상담을 해 주세요.",
    "미적분을 설명해 주세요.", "소설을 추천해 주세요.", "지금 몇 시입니까?", "오늘은 며칠입니까?",
    "제 이름이 무엇입니까?", "인터넷은 누가 발명했습니까?", "커피는 어디에서 왔습니까?", "철학이란 무엇입니까?",
)
UNKNOWN_SUBJECTS = ("프랑스", "독일", "미국", "영국", "일본", "중국", "인도", "러시아", "스페인", "이탈리아", "브라질", "캐나다",
                    "호주", "이집트", "터키", "태국", "베트남", "몽골", "멕시코", "그리스", "런던", "파리", "뉴욕", "도쿄",
                    "베를린", "로마", "모스크바", "베이징", "아프리카", "유럽")
UNKNOWN_ABOUT = ("{}의 인구는 얼마입니까?", "{}의 역사를 알려 주세요.", "{}의 날씨는 어떻습니까?", "{}의 왕은 누구입니까?",
                 "{}의 음식은 무엇입니까?", "{}까지 어떻게 갑니까?", "{}의 면적은 얼마입니까?", "{}에 대해 설명해 주세요.",
                 "{}에서는 무슨 언어를 씁니까?", "{}의 시장은 누구입니까?", "{}의 유명한 사람은 누구입니까?",
                 "{}의 경제는 어떻습니까?")


def from_table(rng):
    question, answer, short = rng.choice(TABLE)
    return ask(DOMAIN, question, question, answer, answer, short)


def opposite(rng):
    (word, other), wording = rng.choice(OPPOSITE_PAIRS), rng.choice(OPPOSITE_WORDINGS)
    question = wording.format(word)
    return ask(DOMAIN, question, question, f"'{other}'입니다.", f"'{other}'입니다.", other)


def day_after(rng):
    days, at = list(DAYS.values()), rng.randrange(7)
    wording = rng.choice(list(DAY_WORDINGS))
    question, answer = wording.format(days[at]), days[(at + DAY_WORDINGS[wording]) % 7]
    return ask(DOMAIN, question, question, f"{answer}입니다.", f"{answer}입니다.", answer)


def unknown(rng):
    if rng.randrange(3):
        question = rng.choice(UNKNOWN_ABOUT).format(rng.choice(UNKNOWN_SUBJECTS))
    else:
        question = rng.choice(UNKNOWN_QUESTIONS)
    return ask(DOMAIN, question, question, UNKNOWN, UNKNOWN, "모릅니다.")


KINDS = {to_korean: 30, to_english: 22, word_to_korean: 5, word_to_english: 4, story: 12, story_on_request: 2,
         arithmetic: 12, counting: 4, number_list: 8, comparison: 4, from_table: 7,
         opposite: 1, day_after: 1, unknown: 3}


def exchange(rng: random.Random):
    return choose(rng, KINDS)(rng)
