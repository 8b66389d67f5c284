"""The made-up world: its people, animals, things, places and colours, in English and in Korean."""

# English name -> Korean name. She or he follows from the list.
GIRLS = {"Mina": "미나", "Sora": "소라", "Hana": "하나", "Yuna": "유나", "Nari": "나리", "Bora": "보라", "Dami": "다미",
         "Suji": "수지", "Jina": "지나", "Arin": "아린"}
BOYS = {"Juno": "준오", "Minsu": "민수", "Taeho": "태호", "Jisu": "지수", "Haru": "하루", "Dojin": "도진",
        "Siwon": "시원", "Kyu": "규", "Woori": "우리", "Ian": "이안"}
PEOPLE = {**GIRLS, **BOYS}

ANIMALS = {"cat": "고양이", "dog": "강아지", "fox": "여우", "bear": "곰", "rabbit": "토끼", "tiger": "호랑이",
           "horse": "말", "cow": "소", "duck": "오리", "bird": "새", "mouse": "쥐", "frog": "개구리", "goat": "염소",
           "sheep": "양", "lion": "사자", "wolf": "늑대"}

FRUITS = {"apple": "사과", "pear": "배", "peach": "복숭아", "grape": "포도", "melon": "멜론", "banana": "바나나",
          "lemon": "레몬", "plum": "자두"}
THINGS = {"ball": "공", "book": "책", "hat": "모자", "cup": "컵", "key": "열쇠", "lamp": "등불", "coat": "외투",
          "box": "상자", "bag": "가방", "kite": "연", "pen": "펜", "drum": "북", "ring": "반지", "map": "지도",
          "spoon": "숟가락", "umbrella": "우산"}
OBJECTS = {**FRUITS, **THINGS}  # what can be found, carried and given

PLACES = {"forest": "숲", "river": "강", "market": "시장", "school": "학교", "garden": "정원", "house": "집",
          "mountain": "산", "beach": "해변", "library": "도서관", "park": "공원", "station": "역", "farm": "농장",
          "bridge": "다리", "kitchen": "부엌", "lake": "호수", "village": "마을"}
CITIES = {"Seoul": "서울", "Busan": "부산", "Daegu": "대구", "Incheon": "인천", "Jeju": "제주", "Suwon": "수원",
          "Ulsan": "울산", "Jeonju": "전주"}

# English colour -> the Korean word that stands before a noun.
COLOURS = {"red": "빨간", "blue": "파란", "yellow": "노란", "green": "초록", "white": "하얀", "black": "검은",
           "brown": "갈색", "pink": "분홍"}
SIZES = {"big": "큰", "small": "작은", "old": "오래된", "new": "새"}
WEATHER = {"sunny": "맑음", "rainy": "비", "cloudy": "흐림", "snowy": "눈", "windy": "바람"}
DAYS = {"Monday": "월요일", "Tuesday": "화요일", "Wednesday": "수요일", "Thursday": "목요일", "Friday": "금요일",
        "Saturday": "토요일", "Sunday": "일요일"}


# The English words, to draw from.
ANIMAL_LIST, OBJECT_LIST, FRUIT_LIST, THING_LIST = list(ANIMALS), list(OBJECTS), list(FRUITS), list(THINGS)
PLACE_LIST, CITY_LIST, COLOUR_LIST, SIZE_LIST = list(PLACES), list(CITIES), list(COLOURS), list(SIZES)
DAY_LIST = list(DAYS)


def pronoun(person):
    return "She" if person in GIRLS or person in GUEST_GIRLS else "He"


def article(word):
    return "an" if word[0] in "aeiou" else "a"


def ends_in_consonant(korean):
    """Whether the last syllable has a final consonant: a Hangul syllable's code is 0xAC00 + 28 * pair + final."""
    return (ord(korean[-1]) - 0xAC00) % 28 != 0


# Particle -> (after a consonant, after a vowel).
PARTICLES = {"topic": ("은", "는"), "subject": ("이", "가"), "object": ("을", "를"), "with": ("과", "와"),
             "copula": ("입니다", "입니다")}


def particle(korean, role):
    """The word with its particle: particle("책", "object") is "책을"."""
    after_consonant, after_vowel = PARTICLES[role]
    return korean + (after_consonant if ends_in_consonant(korean) else after_vowel)


def toward(korean):
    """To a place: 로 after a vowel or ㄹ, 으로 after another consonant."""
    final = (ord(korean[-1]) - 0xAC00) % 28
    return korean + ("로" if final in (0, 8) else "으로")


# Names beyond the world's own, so that a user's names have a chance: they are copied, not known.
GUEST_GIRLS = {"Anna": "안나", "Emma": "엠마", "Lucy": "루시", "Alice": "앨리스", "Sara": "사라", "Maria": "마리아"}
GUEST_BOYS = {"Tom": "톰", "Leo": "레오", "Sam": "샘", "Ben": "벤", "Max": "맥스", "David": "데이비드", "Peter": "피터",
              "Bob": "밥", "John": "존", "Jack": "잭"}
GUESTS = {**GUEST_GIRLS, **GUEST_BOYS}

# Place -> the preposition of being there.
PREPOSITIONS = {"forest": "in", "river": "at", "market": "at", "school": "at", "garden": "in", "house": "in",
                "mountain": "on", "beach": "at", "library": "in", "park": "in", "station": "at", "farm": "on",
                "bridge": "on", "kitchen": "in", "lake": "at", "village": "in"}

IRREGULAR_PLURALS = {"mouse": "mice", "sheep": "sheep", "wolf": "wolves"}

# Every word and name of the world, English -> Korean; a word that is not here stays as it is.
KOREAN = {**PEOPLE, **GUESTS, **ANIMALS, **OBJECTS, **PLACES, **CITIES, **COLOURS, **SIZES, **WEATHER, **DAYS}


def plural_of(noun):
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    return noun + ("es" if noun.endswith(("x", "s", "ch", "sh")) else "s")


def at_place(place):
    """"in the forest", "at the river": every place has one preposition."""
    return f"{PREPOSITIONS[place]} the {place}"


def colour_name(colour):
    """The Korean noun of a colour: 빨간 -> 빨간색, 갈색 -> 갈색."""
    korean = COLOURS[colour]
    return korean if korean.endswith("색") else korean + "색"


DIGITS_IN_KOREAN = "영일이삼사오육칠팔구"


def number_particle(number, role):
    """A number in digits with its particle, which follows from how its last digit is read: 3은 (삼은), 2는 (이는)."""
    return str(number) + particle(DIGITS_IN_KOREAN[abs(number) % 10], role)[1:]


def english_list(words):
    """"apples, pears and plums"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
