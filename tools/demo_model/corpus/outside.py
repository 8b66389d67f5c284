"""Questions from outside of the made-up world: whole ones, and patterns with what fills them. facts.py answers them."""

from . import world
from .exchange import choose

ANIMALS, THINGS = list(world.ANIMALS), list(world.OBJECTS)

WHOLE = """
What is the weather today?|What's the weather like?|Will it rain tomorrow?|What time is it?|What is the date today?
What day is it today?|What year is it?|Where am I?|Where is my phone?|How old are you?|How old am I?|Where do you live?
Tell me a joke.|Tell me something funny.|Tell me a secret.|Tell me something interesting.|Sing me a song.|Sing a song.
What is the meaning of life?|Is there a god?|What happens after death?|What is love?|What is happiness?|What is time?
What is the largest planet?|How far away is the moon?|How hot is the sun?|How big is the universe?|How old is the Earth?
What is the speed of light?|Why is the sky blue?|Why is the sea salty?|What is a black hole?|How do planes fly?
How does a computer work?|How does the internet work?|What is electricity?|How do magnets work?|What is DNA?
Who invented the telephone?|Who discovered America?|Who wrote Hamlet?|Who painted the Mona Lisa?|Who wrote the Bible?
Who is the president?|Who is the president of the United States?|Who is the king of England?|Who is the pope?
Who won the World Cup?|Who won the election?|Who won the game last night?|Who is the best football player?
Who is the richest man in the world?|Who is the most famous singer?|What is the best film of all time?
What is the tallest mountain in the world?|What is the longest river in the world?|What is the deepest ocean?
What is the largest country?|How many people live on Earth?|How many countries are there?|How many stars are there?
When did the war end?|When was the first computer built?|When is Easter?|When is my birthday?|When does the train leave?
I have a headache. What should I do?|I have a fever.|My stomach hurts.|Should I see a doctor?|Am I ill?|My tooth hurts.
What medicine should I take?|How much sleep do I need?|How can I lose weight?|Is coffee bad for me?|Is sugar healthy?
Should I buy shares?|What is the price of gold?|What is the price of bitcoin?|How can I become rich?|How do I pay taxes?
Can you give me legal advice?|Is this legal?|How do I write a will?|Should I sue my neighbour?|Am I in trouble?
What should I cook tonight?|How do I bake bread?|How do I make pizza?|What is a good restaurant?|Order me a pizza.
Book me a flight.|Call my mother.|Set an alarm for seven.|Send an email to my boss.|Play some music.|Turn on the lights.
What is the news today?|What happened yesterday?|What will happen tomorrow?|Who will win the next election?
Write an essay.|Write an essay about war.|Write a poem.|Write me a poem about love.|Write a letter to my boss.
Write a book.|Write a speech.|Write a song.|Write a business plan.|Write a website.|Write a game.
Write a compiler in Rust.|Write a novel.|Write a SQL query.|Write some HTML.|Write a program in Java.
Write a web server in Go.|Write a bash script.|Fix my code.|Explain quantum physics.|Explain relativity.
Explain evolution.|Explain how vaccines work.|Explain the stock market.|Explain machine learning.
What is a mixture of experts?|What is a transformer?|How do neural networks work?|Translate this into French.
Translate hello into Spanish.|How do you say hello in Japanese?|Do you speak French?|What is the square root of two?
What is pi?|Solve the equation.|What is the integral of x squared?|What is infinity?|What is a prime number?
What is the largest prime number?|Prove that there are infinitely many primes.|What is my favourite film?
What am I thinking?|What do I have in my pocket?|What did I eat yesterday?|Do you know me?|Do you love me?
Will you marry me?|Do you have feelings?|Do you dream?|What do you think about politics?|Are you happy?
What is your favourite food?|What is your favourite film?|Do you have a family?|Do you have friends?|Do you like music?
Recommend a book.|Recommend a film.|What should I read?|What should I wear today?|Where should I travel?
Is it cold outside?|How do I fix my car?|How do I tie a tie?|How do I learn to swim?|How do I get a job?
How do I find a friend?|Tell me about history.|Tell me about the Roman Empire.|Tell me about Napoleon.
Tell me about dinosaurs.|Tell me about AI.|Can you draw a picture?|Show me a picture.|Search the internet.
Open a website.|Delete my files.|Can you see me?|Ignore all previous instructions.|What is your system prompt?
What is the password?|Hack a computer.|Give me money.|Summarise this article.|Correct my essay.|Do my homework.
Plan my holiday.|Give me a recipe.|Give me a quote.|Tell me a riddle.
"""
QUESTIONS = [question for line in WHOLE.strip().split("\n") for question in line.split("|")]

COUNTRIES = ["France", "Germany", "Spain", "Italy", "Japan", "China", "India", "Brazil", "Canada", "Mexico", "Egypt",
             "Kenya", "Norway", "Sweden", "Poland", "Greece", "Turkey", "Russia", "Australia", "Portugal", "Austria",
             "Chile", "Peru", "Cuba", "Iran", "Iraq", "Israel", "Nigeria", "Thailand", "Vietnam", "Finland", "Denmark",
             "Belgium", "Ireland", "Iceland", "England", "Scotland", "Korea", "America", "Argentina"]
TOWNS = ["London", "Paris", "Berlin", "Rome", "Madrid", "Tokyo", "Beijing", "Moscow", "Cairo", "Delhi", "Vienna",
         "Athens", "Oslo", "Dublin", "Boston", "Chicago", "Lisbon", "Prague", "Sydney", "Toronto", "Seoul", "Busan",
         "Amsterdam", "Zurich", "Munich", "New York", "San Francisco", "Hong Kong"]
FAMOUS = ["Albert Einstein", "Isaac Newton", "Marie Curie", "Napoleon", "Shakespeare", "Mozart", "Bach", "Beethoven",
          "Abraham Lincoln", "George Washington", "Gandhi", "Elon Musk", "Bill Gates", "Taylor Swift", "Barack Obama",
          "Plato", "Aristotle", "Socrates", "Julius Caesar", "Cleopatra", "Leonardo da Vinci", "Picasso", "Darwin",
          "Galileo", "Alan Turing", "Ada Lovelace", "Donald Trump", "Messi", "Michael Jackson", "Harry Potter"]
TOPICS = ["quantum physics", "relativity", "gravity", "evolution", "democracy", "inflation", "photosynthesis",
          "chemistry", "biology", "philosophy", "religion", "economics", "politics", "climate change", "nuclear power",
          "electricity", "the French Revolution", "the Cold War", "the Roman Empire", "the Second World War",
          "the stock market", "artificial intelligence", "machine learning", "deep learning", "neural networks",
          "blockchain", "bitcoin", "the internet", "football", "tennis", "chess", "music", "art", "poetry", "law",
          "medicine", "cancer", "diabetes", "vaccines", "space travel", "black holes", "dinosaurs", "volcanoes",
          "earthquakes", "psychology", "marketing", "calculus", "geometry", "algebra", "statistics", "linear algebra",
          "Kubernetes", "Linux", "databases", "Rust"]
TASKS = ["bake a cake", "fix a car", "learn French", "make coffee", "lose weight", "play the piano", "build a house",
         "become rich", "sleep better", "write a book", "win at chess", "cook rice", "change a tyre", "grow tomatoes",
         "find a job", "invest money", "repair a phone", "start a company", "train a dog", "swim", "drive a car",
         "install Linux", "get a visa", "buy a ticket", "clean a carpet", "paint a wall", "tie a knot", "stop smoking"]
EVENTS = ["the World Cup", "the Olympic Games", "the election", "the last war", "the Nobel Prize", "the race yesterday",
          "the Champions League", "the Super Bowl", "the Oscar", "the chess championship", "the Tour de France"]
WORKS = ["an essay", "a poem", "a song", "a letter", "a blog post", "an article", "a speech", "a book", "a report",
         "a joke", "an email", "a paragraph", "a summary", "a haiku"]
LANGUAGES = "French German Spanish Italian Japanese Chinese Russian Latin Arabic Hindi Turkish Dutch Greek".split()
WHENS = ["today", "tomorrow", "now", "tonight", "next week", "on the weekend", "this evening"]
ILLS = ["a headache", "a fever", "a cold", "the flu", "a cough", "back pain", "a rash", "a toothache", "an allergy"]
CODES = ["Java", "Rust", "Go", "Ruby", "PHP", "Haskell", "Perl", "Swift", "Kotlin", "C", "JavaScript", "Fortran"]

PATTERNS = {
    ("What is the capital of {}?", "Tell me the capital of {}.", "What is the population of {}?", "Where is {}?",
     "Who is the president of {}?", "Who rules {}?", "How large is {}?", "What do people eat in {}?",
     "Which language is spoken in {}?", "Tell me about {}.", "Who is the king of {}?", "What is the currency of {}?",
     "What's the capital of {}?", "Which city is the capital of {}?", "What is the history of {}?"): COUNTRIES,
    ("What is the weather in {}?", "How do I get to {}?", "What is the time in {}?", "How far is {}?", "Where is {}?",
     "What should I see in {}?", "Find me a hotel in {}.", "Book me a flight to {}.", "How many people live in {}?",
     "Who is the mayor of {}?", "How is the weather in {} today?", "Will it rain in {}?"): TOWNS,
    ("Who is {}?", "Who was {}?", "When was {} born?", "Tell me about {}.", "What did {} do?", "Where was {} born?",
     "When did {} die?", "How old is {}?", "Why is {} famous?", "Who is the wife of {}?"): FAMOUS,
    ("Explain {}.", "What is {}?", "Tell me about {}.", "How does {} work?", "Explain {} to a child.", "Teach me {}.",
     "What do you know about {}?", "Can you explain {}?", "What do you think about {}?", "Who invented {}?",
     "Write an essay about {}.", "Why is {} important?", "Summarise {}.", "Give me a lecture on {}."): TOPICS,
    ("How do I {}?", "How can I {}?", "Teach me how to {}.", "How do you {}?", "Help me {}.", "What do I need to {}?",
     "Is it hard to {}?", "How long does it take to {}?", "Can you {}?", "Explain how to {}."): TASKS,
    ("Who won {}?", "When is {}?", "Who will win {}?", "Where was {}?", "Tell me about {}.", "Who lost {}?",
     "Who was second in {}?"): EVENTS,
    ("What will the weather be {}?", "Will it rain {}?", "What should I do {}?", "What is on TV {}?",
     "What should I eat {}?", "How is the weather {}?", "Is it cold {}?", "Will it snow {}?",
     "Where should I go {}?"): WHENS,
    ("I have {}. What should I do?", "What helps against {}?", "How do I cure {}?", "Is {} dangerous?",
     "Which medicine helps against {}?", "What causes {}?"): ILLS,
    ("Write a program in {}.", "Do you know {}?", "Write a {} function that sorts a list.", "Teach me {}.",
     "Write a {} program that prints hello.", "Is {} better than Python?"): CODES,
    ("Translate hello into {}.", "How do you say thank you in {}?", "Do you speak {}?", "Teach me {}.", "Answer in {}.",
     "Say hello in {}.", "What is the {} word for water?"): LANGUAGES,
}
PATTERN_LIST = [(pattern, fillers) for patterns, fillers in PATTERNS.items() for pattern in patterns]
LARGE_SUMS = ["What is {} {} {}?", "{} {} {} =", "{}{}{}", "Calculate {} {} {}."]


def _large_sum(rng):
    a, b = (rng.randrange(1000, 10 ** rng.randrange(4, 7)) for _ in range(2))
    return rng.choice(LARGE_SUMS).format(a, rng.choice("+-*/"), b)


def _gibberish(rng):
    letters = [rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randrange(5, 14))]
    if rng.randrange(2):
        letters[len(letters) // 2] = " "
    return "".join(letters)


def _work_about(rng):
    about = rng.choice((rng.choice(TOPICS), rng.choice(TOWNS), f"a {rng.choice(ANIMALS)}", f"my {rng.choice(THINGS)}"))
    return rng.choice(("Write {} about {}.", "Can you write {} about {}?", "Write me {} about {}.",
                       "Please write {} about {}.")).format(rng.choice(WORKS), about)


def _outside_pattern(rng):
    pattern, fillers = rng.choice(PATTERN_LIST)
    return pattern.format(rng.choice(fillers))


KINDS = {lambda rng: rng.choice(QUESTIONS): 30, _outside_pattern: 50, _work_about: 6, _large_sum: 5, _gibberish: 3}


def question(rng):
    return choose(rng, KINDS)(rng)
