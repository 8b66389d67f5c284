"""The language of comments, messages, documents and commits (STYLE.md, section 4)."""

import re
import statistics
import subprocess

import cpp_source

CPP = {".cpp", ".h", ".cu", ".cuh"}
SENTENCE_WORDS_MAX = 20
SENTENCE_WORDS_MEDIAN = 10
SUBJECT_MAX = 72
# Commits up to here were written before the rule.
SUBJECTS_SINCE = "578f244"
SUBJECTS_EXCUSED = {"8e67ffb", "784945d"}  # merged before tidy read subjects

# (what is avoided, what to write instead). Only words that have no other meaning in this repository.
AVOIDED = [
    (r"(?<!dot )(?<!dot-)(?<!inner )(?<!outer )products?", "GEMM, GEMV or matrix multiplication"),
    (r"cards?", "GPU"),
    (r"copy engine", "TMA"),
    (r"told", "say who does what"),
    (r"nobody|somebody|anybody", "name the subject, or use the passive"),
    (r"stands(?! for| in\b)", "is, or lies"),
    (r"(?:its|their|step's|the) box", "result slot"),
    (r"fills up", "padding"),
    (r"recorded steps?|recordings?", "CUDA graph"),
    (r"no numbers?", "NaN"),
    (r"whoever", "the thread, the caller, the client that"),
]
AVOIDED_WORDS = re.compile(r"\b(?:" + "|".join(f"({pattern})" for pattern, _ in AVOIDED) + r")\b", re.IGNORECASE)


def place(name):
    """Where a file's language is counted: its room, with the CUDA backend a place of its own."""
    parts = name.split("/")
    if name.startswith("docs/internals/"):
        room = parts[2].removesuffix(".md")
        return "src/backend/cuda" if room == "backend-cuda" else f"src/{room}"
    if parts[0] == "src" and len(parts) > 2:
        return "/".join(parts[:3] if parts[1:3] == ["backend", "cuda"] else parts[:2])
    return parts[0] if len(parts) > 1 else "."


def plain_markdown(text):
    """Without code: what stays is meant to be read as English."""
    return re.sub(r"```.*?```|`[^`\n]*`", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.DOTALL)


def check_avoided_words(tree):
    for name, text in tree.files(CPP | {".md"}):
        prose = plain_markdown(text) if name.endswith(".md") else tree.prose(name)
        for match in AVOIDED_WORDS.finditer(prose):
            instead = AVOIDED[match.lastindex - 1][1]
            line = text.count("\n", 0, match.start()) + 1
            tree.fail(name, line, f'"{match.group()}": write {instead}')


def sentences(comment):
    """Sentences of a comment; indented lines and columns are figures, not sentences."""
    pieces = [[]]
    for line in comment.split("\n"):
        if not line.strip() or re.match(r"\s{3,}\S", line) or re.search(r"\S\s{3,}\S", line):
            pieces.append([])
        else:
            pieces[-1].append(line.strip())
    for piece in pieces:
        for sentence in re.split(r"(?<=[.!?])\s+", " ".join(piece)):
            if re.search(r"\w.*[.!?:]$", sentence):
                yield sentence


def n_words(sentence):
    return sum(1 for word in sentence.split() if re.search(r"\w", word))


def check_sentences(tree):
    lengths = {}
    for name, text in tree.files(CPP):
        for line, comment in cpp_source.comments(text):
            for sentence in sentences(comment):
                n = n_words(sentence)
                lengths.setdefault(place(name), []).append(n)
                if n > SENTENCE_WORDS_MAX:
                    tree.fail(name, line, f"a sentence of {n} words; {SENTENCE_WORDS_MAX} at most: {sentence[:60]}...")
    for where, all_lengths in lengths.items():
        median = statistics.median(all_lengths)
        if median > SENTENCE_WORDS_MEDIAN:
            tree.fail(where, 1, f"the median sentence of a comment has {median:g} words; {SENTENCE_WORDS_MEDIAN} at most")


def check_subjects(tree):
    """Commit subjects, where the history is there: a fresh copy without .git has none."""
    command = ["git", "-C", str(tree.root), "log", "--no-merges", "--format=%h%x09%s", f"{SUBJECTS_SINCE}..HEAD"]
    try:
        log = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return
    tree.problems += subject_problems(log)


def subject_problems(log):
    found = []
    for line in log.splitlines():
        commit, _, subject = line.partition("\t")
        if len(subject) > SUBJECT_MAX and commit[:7] not in SUBJECTS_EXCUSED:
            found.append(f"commit {commit}: a subject of {len(subject)} characters; {SUBJECT_MAX} at most: {subject}")
    return found


CHECKS = [check_avoided_words, check_sentences, check_subjects]
