"""Stories on request: what a request leaves open follows from tables of habits, so that a request has one story."""

import dataclasses

from .exchange import Exchange
from .storytelling import ALL_PEOPLE, CROWD, thing, topic
from .world import (ANIMAL_LIST, COLOURS, COLOUR_LIST, FRUITS, KOREAN, OBJECT_LIST, PLACES, PLACE_LIST, THINGS, article,
                    at_place, english_list, particle, pronoun)

DOMAIN = "stories"


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
