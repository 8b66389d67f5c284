#!/usr/bin/env python3
"""The rules of ARCHITECTURE.md and STYLE.md that a machine can hold. Standard library only; a few seconds.

    python3 tests/tidy/tidy.py [repository]     prints `file:line: what is wrong`; exits with 1 if anything is
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cpp_source  # noqa: E402
import language  # noqa: E402
import shape  # noqa: E402
import truth  # noqa: E402

FUNCTION_LINES_MAX = 70  # longer ones are printed; more than LONG_FUNCTIONS_MAX of all fail
LONG_FUNCTIONS_MAX = 0.02  # share of the functions that may be longer
FILE_LINES_MAX = 500
LONG_FILE_LINES_MAX = 800  # tests and tables of data
PAGE_LINES_MAX = 150  # of docs/internals

CPP = {".cpp", ".h", ".cu", ".cuh"}
CODE = CPP | {".py", ".sh", ".cmake"}
SKIPPED = {".git", ".venv", "build", "__pycache__", "node_modules", "shared"}

# Third-party headers and the only places under src/ that may know them.
THIRD_PARTY = [
    (r"boost/(beast|asio)\b", ["server/"]),
    (r"(cuda|cublas|cudnn|cutlass|cute|nccl|nvml)", ["backend/cuda/"]),
    (r"(pcre2|utf8proc)", ["text/"]),
    (r"spdlog/", ["base/"]),
    (r"CLI/", ["commands/", "main.cpp"]),
]

# Paths of a developer's machine. In two halves, or this file would hold them.
FORBIDDEN = ["/wo" + "rk/", "/tm" + "p/b-", "/tm" + "p/brief"]


class Tree:
    """The files of the repository, read once, and the problems found in them."""

    def __init__(self, root):
        self.root = Path(root)
        self.problems = []
        self.notes = []
        self.texts = {}
        self.caches = {}
        for path in sorted(self._walk(self.root)):
            try:
                self.texts[path.relative_to(self.root).as_posix()] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                pass  # not text: none of the rules speak of it

    def _walk(self, folder):
        for path in folder.iterdir():
            if path.is_symlink() or path.name in SKIPPED:
                continue
            if path.is_dir():
                yield from self._walk(path)
            elif path.stat().st_size < 2_000_000:  # larger: weights and vocabularies
                yield path

    def files(self, suffixes, under=""):
        return [(n, t) for n, t in self.texts.items() if n.startswith(under) and Path(n).suffix in suffixes]

    def fail(self, name, line, text):
        self.problems.append(f"{name}:{line}: {text}")

    def _cached(self, function, name):
        key = (function.__name__, name)
        if key not in self.caches:
            self.caches[key] = function(self.texts[name])
        return self.caches[key]

    def functions(self, name):
        return self._cached(cpp_source.functions, name)

    def code(self, name):
        return self._cached(cpp_source.blank, name)

    def prose(self, name):
        return self._cached(cpp_source.prose, name)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


# --- the include table ---------------------------------------------------------------------------------------------


def include_table(architecture):
    """Room -> rooms it may include, from the first code block of section 2. A comment stands behind two spaces."""
    section = architecture.split("\n## 2.", 1)[-1]
    block = section.split("```", 2)[1]
    table = {}
    for line in block.strip().splitlines():
        room, _, rest = line.partition(":")
        table[room.strip()] = re.split(r"\s{2,}", rest.strip())[0].split()
    return table


def room_of(name):
    """src/quant/formats/q4.cpp -> quant; src/main.cpp and src/commands/... -> main."""
    parts = name.split("/")
    return "main" if len(parts) == 2 or parts[1] == "commands" else parts[1]


def check_includes(tree):
    table = include_table(tree.texts["ARCHITECTURE.md"])
    seen = set()
    for room, below in table.items():
        for other in below:
            if other != "all" and other not in seen:
                tree.fail("ARCHITECTURE.md", 1, f"section 2: {room} names {other}, which does not stand above it")
        seen.add(room)
    for name, text in tree.files(CPP, "src/"):
        room = room_of(name)
        if room not in table:
            tree.fail(name, 1, f"the folder {room} is no room of ARCHITECTURE.md, section 2")
            continue
        for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', text, re.MULTILINE):
            target, slash, _ = match.group(1).partition("/")
            line = line_of(text, match.start())
            if not slash and not any(re.match(pattern, target) for pattern, _ in THIRD_PARTY):
                tree.fail(name, line, f'"{match.group(1)}": includes are written from src/: "room/file.h"')
            elif target in table and target not in [room, *table[room]] and "all" not in table[room]:
                tree.fail(name, line, f"{room} may not include {target} (ARCHITECTURE.md, section 2)")
    check_link_lines(tree, table)


def check_link_lines(tree, table):
    """src/CMakeLists.txt says the same as the table."""
    name = "src/CMakeLists.txt"
    links = {}
    for match in re.finditer(r"^polymath_room\((\w+)([^)]*)\)", tree.texts[name], re.MULTILINE):
        rooms = re.search(r"ROOMS((?:\s+\w+)+?)(?=\s+LIBS|\s*$)", match.group(2))
        links[match.group(1)] = rooms.group(1).split() if rooms else []
    for room, below in table.items():
        if room != "main" and sorted(links.get(room, ["nothing"])) != sorted(below):
            tree.fail(name, 1, f"{room} links {links.get(room)}, the table of ARCHITECTURE.md says {below}")


def check_third_party(tree):
    for name, text in tree.files(CPP, "src/"):
        for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)', text, re.MULTILINE):
            for pattern, places in THIRD_PARTY:
                inside = any(name.startswith("src/" + place) for place in places)
                if re.match(pattern, match.group(1)) and not inside:
                    tree.fail(name, line_of(text, match.start()), f"<{match.group(1)}> belongs to {', '.join(places)}")
        if name != "src/backend/registry.cpp" and not name.startswith("src/backend/cuda/"):
            for match in re.finditer(r"^[ \t]*#[ \t]*if.*(WITH_|POLYMATH_CUDA)", text, re.MULTILINE):
                tree.fail(name, line_of(text, match.start()), "what was built is asked in backend/registry.cpp alone")


def check_namespaces(tree):
    for name, _ in tree.files(CPP, "src/"):
        room = room_of(name)
        if room == "main":
            continue
        code = tree.code(name)
        opened = re.findall(r"\bnamespace\s+polymath((?:::\w+)*)\s*\{", code)
        for namespace in opened:
            if namespace.split("::")[1:2] != [room]:
                tree.fail(name, 1, f"namespace polymath{namespace} in the folder of polymath::{room}")
        if not opened and code.strip():
            tree.fail(name, 1, f"nothing of it is in namespace polymath::{room}")


# --- sizes ---------------------------------------------------------------------------------------------------------


def check_function_lengths(tree):
    n_functions = 0
    long_ones = []
    for name, _ in tree.files(CPP):
        if re.search(r"_avx(2|512)\.\w+$", name):
            continue
        for function in tree.functions(name):
            n_functions += 1
            if function.n_lines > FUNCTION_LINES_MAX:
                long_ones.append(f"{name}:{function.line}: {function.name} has {function.n_lines} lines")
    tree.notes += [f"long function: {one}" for one in long_ones]
    if len(long_ones) > LONG_FUNCTIONS_MAX * n_functions:
        tree.problems.append(
            f"{len(long_ones)} of {n_functions} functions have more than {FUNCTION_LINES_MAX} lines; "
            f"{LONG_FUNCTIONS_MAX:.0%} may"
        )


def check_file_lengths(tree):
    for name, text in tree.files(CODE):
        stem = Path(name).stem
        may_be_long = name.startswith("tests/") or re.search(r"_(test|tables?|data)$", stem)
        most = LONG_FILE_LINES_MAX if may_be_long else FILE_LINES_MAX
        if (n := text.count("\n")) > most:
            tree.fail(name, n, f"{n} lines; {most} at most")


# --- what has no place ---------------------------------------------------------------------------------------------


def check_strays(tree):
    """Every source belongs to a target, every header is included by somebody."""
    included = set()
    for _, text in tree.files(CPP):
        included.update(re.findall(r'#[ \t]*include[ \t]*"([^"]+)"', text))
    rooms = set(re.findall(r"^polymath_room\((\w+)", tree.texts["src/CMakeLists.txt"], re.MULTILINE))
    for name, _ in tree.files(CPP):
        path = Path(name)
        if path.suffix in {".h", ".cuh"}:
            if not any(name.endswith("/" + i) for i in included):
                tree.fail(name, 1, "a header that nobody includes")
        elif name.startswith("src/"):
            if room_of(name) not in rooms | {"main"}:
                tree.fail(name, 1, "a source in a folder that src/CMakeLists.txt does not build")
        elif not built_elsewhere(tree, path):
            tree.fail(name, 1, "a source that no CMakeLists.txt names or globs")


def built_elsewhere(tree, path):
    for folder in path.parents:
        lists = tree.texts.get((folder / "CMakeLists.txt").as_posix())
        if lists is not None and folder != Path("."):
            return path.name in lists or path.stem in lists or "GLOB" in lists
    return False


def check_words(tree):
    for name, text in tree.texts.items():
        for word in FORBIDDEN:
            if (at := text.find(word)) >= 0:
                tree.fail(name, line_of(text, at), f"a path of somebody's machine: {word}")
    for name, text in tree.files(CODE):
        if name.startswith("tests/tidy/"):
            continue
        for match in re.finditer(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", text):
            tree.fail(name, line_of(text, match.start()), f"{match.group(1)} without an issue: write TODO(#123)")


# --- what must be said ---------------------------------------------------------------------------------------------


def check_limits(tree):
    """A limit says what happens at it, on its line or the line above."""
    declared = re.compile(
        r"^[ \t]*(?:(?:static|constexpr|const|inline|extern)\s+)*(?!return\b)[A-Za-z_][\w:<>, ]*[\s&*]"
        r"(\w+_max|k[A-Z]\w*Max)\b\s*(?:=|;|\{)",
        re.MULTILINE,
    )
    for name, text in tree.files(CPP, "src/"):
        outside = cpp_source.outside_functions(text)
        lines = text.splitlines()
        for match in declared.finditer(outside):
            line = line_of(outside, match.start(1))
            last = line_of(outside, outside.find(";", match.start(1)))
            here, above = "".join(lines[line - 1 : last]), lines[line - 2] if line > 1 else ""
            if "//" not in here and not above.strip().startswith("//"):
                tree.fail(name, line, f"{match.group(1)}: say what happens at this limit")


def check_lists(tree):
    """An explicit list states its order."""
    for name, text in tree.files({".cpp"}, "src/"):
        if Path(name).name == "list.cpp" and not re.search(r"//.*\b(order|first|sorted)\b", text, re.IGNORECASE):
            tree.fail(name, 1, "a list says in a comment in which order it stands")


def check_pages(tree):
    rooms = {room_of(name) for name, _ in tree.files({".cpp", ".cu"}, "src/")} - {"main"}
    for room in sorted(rooms):
        if f"docs/internals/{room}.md" not in tree.texts:
            tree.fail(f"docs/internals/{room}.md", 1, "missing: every room has its page")
    for name, text in tree.files({".md"}, "docs/internals/"):
        if (n := text.count("\n")) > PAGE_LINES_MAX:
            tree.fail(name, n, f"{n} lines; {PAGE_LINES_MAX} at most")


def check_links(tree):
    for name, text in tree.files({".md"}):
        prose = re.sub(r"```.*?```|`[^`\n]*`", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.DOTALL)
        for match in re.finditer(r"\]\(([^)\s]+)\)", prose):
            target = match.group(1).partition("#")[0]
            if not target or re.match(r"\w+:", target):
                continue
            if not (tree.root / name).parent.joinpath(target).exists():
                tree.fail(name, line_of(prose, match.start()), f"dead link: {target}")


CHECKS = [
    check_includes,
    check_third_party,
    check_namespaces,
    check_function_lengths,
    check_file_lengths,
    check_strays,
    check_words,
    check_limits,
    check_lists,
    check_pages,
    check_links,
    *shape.CHECKS,
    *language.CHECKS,
    *truth.CHECKS,
]


def main(arguments):
    tree = Tree(arguments[0] if arguments else Path(__file__).resolve().parents[2])
    for check in CHECKS:
        check(tree)
    for line in tree.notes + tree.problems:
        print(line)
    print(f"tidy: {len(tree.texts)} files, {len(tree.problems)} problems")
    return 1 if tree.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
