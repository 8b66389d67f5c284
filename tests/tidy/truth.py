"""What documents and comments name exists: flags, files, rows of lists."""

import re
from pathlib import Path

CPP = {".cpp", ".h", ".cu", ".cuh"}

# Flags of other programs, by program. A flag of ours is a row of the table in src/commands/.
OTHER_FLAGS = {
    "cmake": {"preset", "workflow", "list-presets", "build", "target"},
    "ctest": {"test-dir"},
    "compute-sanitizer": {"tool", "error-exitcode"},
    "gtest": {"gtest_brief", "gtest_filter"},
    "kubectl and pip": {"from-file", "no-cache-dir"},
    "nvidia-smi": {"query-gpu", "format"},
    "check": {"no-build"},
    "docker": {"rm", "read-only", "gpus"},
    "every program": {"help", "version"},
    "TGI's launcher, misspelt in a test": {"max-totl-tokens"},
    "our tests of the command line": {"x", "no-x", "flag", "max-model-length", "prot", "tensor-paralel-size"},
}

def own_flags(tree):
    """Names of the flag table: `{"max-model-len", "-c", ...`; and of TGI's launcher: `{"MAX_TOTAL_TOKENS", ...`."""
    flags = set()
    for _, text in tree.files({".cpp"}, "src/commands/"):
        flags.update(re.findall(r'[({]\s*"([a-z][a-z0-9-]+)",\s*"(?:-\w+)?",', text))
    rows = tree.texts.get("src/commands/tgi/launcher_rows.cpp", "")
    names = re.findall(r'\{(?:\.name = )?"([A-Z][A-Z_]+)",', rows)
    return flags | {name.lower().replace("_", "-") for name in names}


def script_flags(tree):
    """Options of the repository's own scripts."""
    flags = set()
    for name, text in tree.files({".py", ".sh"}):
        flags.update(re.findall(r"[\"' ]--([a-z][a-z0-9-]*)", text))
    return flags


def check_flags(tree):
    known = own_flags(tree)
    known |= {f"no-{flag}" for flag in known} | {flag.replace("-", "_") for flag in known}
    known |= set().union(*OTHER_FLAGS.values())
    of_scripts = script_flags(tree)
    for name, text in tree.files(CPP | {".md"}):
        prose = text if name.endswith(".md") else tree.prose(name)
        may_name_scripts = not name.startswith("src/")
        for match in re.finditer(r"(?<![\w-])--(?!\w+\.)([a-z][a-z0-9_]*(?:-[a-z0-9_]+)*)(?![\w-])", prose):
            flag = match.group(1)
            if flag not in known and not (may_name_scripts and flag in of_scripts):
                tree.fail(name, text.count("\n", 0, match.start()) + 1, f"--{flag} is no flag of the table in src/commands/")


def check_ground_plan(tree):
    """Every path of ARCHITECTURE.md, section 1, exists, or its line says `planned`."""
    name = "ARCHITECTURE.md"
    text = tree.texts[name]
    begin = text.find("\n## 1.")
    block = text[begin:].split("```", 2)[1] if begin >= 0 and "```" in text[begin:] else ""
    folder = ""
    at = text.count("\n", 0, text.find("```", begin)) + 1
    for i, row in enumerate(block.splitlines()):
        if not row.startswith(" ") and (match := re.match(r"([\w.-]+/)", row)):
            folder = match.group(1)
        if "planned" in row:
            continue
        own = re.match(r"\s*([\w.-]+/)", row)
        near = ["", folder, folder + own.group(1) if own and row.startswith(" ") else folder]
        for match in re.finditer(r"(?<![\w<>/.*-])\.?[\w-]+(?:[./][\w-]+)*(?:/|\.(?:cpp|h|md|py|txt|json|sh))(?![\w<*])", row):
            if not any((tree.root / parent / match.group()).exists() for parent in near):
                tree.fail(name, at + i, f"the ground plan names {match.group()}, which does not exist: build it or say planned")


def check_named_files(tree):
    """`folder/file.ext` in Markdown exists, or its line says `planned`."""
    path = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:cpp|h|cu|cuh|py|sh|md|txt|json|cmake))`")
    for name, text in tree.files({".md"}):
        if name in {"STYLE.md", "CHANGELOG.md"}:  # cites other projects; tells of what was
            continue
        rooms = ["", "src", "src/backend", str(Path(name).parent), f"src/{Path(name).stem}"]
        for i, line in enumerate(text.splitlines(), 1):
            for match in path.finditer(line):
                if "planned" not in line and not any((tree.root / r / match.group(1)).exists() for r in rooms):
                    tree.fail(name, i, f"`{match.group(1)}` does not exist: mend it or say planned")


def check_named_things(tree):
    """`file.cpp`, `Type`, `Type::member` and `kConstant` in Markdown are somewhere in the sources, or planned."""
    files = {Path(name).name for name in tree.texts}
    words = {"absl", "std"}
    for _, text in tree.files(CPP | {".py", ".sh", ".cmake"}):
        words.update(re.findall(r"\w+", text))
    file = re.compile(r"[A-Za-z][\w.-]*\.(?:cpp|h|cu|cuh|py|sh|cmake)")
    thing = re.compile(r"(?:[A-Z][a-z0-9]+[A-Z]\w*|k[A-Z]\w+|[A-Za-z]\w*(?:::\w+)+)(?:\(\))?")
    for name, text in tree.files({".md"}):
        if name in {"STYLE.md", "CHANGELOG.md"} or name.startswith(("docs/adr/", "models/", "bench/")):
            continue
        for i, line in enumerate(text.splitlines(), 1):
            for match in re.finditer(r"`([^`\n]+)`", "" if "planned" in line else line):
                named = match.group(1)
                if file.fullmatch(named) and named not in files:
                    tree.fail(name, i, f"`{named}`: no such file; mend it or say planned")
                elif thing.fullmatch(named) and not words.issuperset(re.findall(r"\w+", named)):
                    tree.fail(name, i, f"`{named}` is not in the sources; mend it or say planned")


def check_list_rows(tree):
    """What lies beside a list.cpp and is made for it, is in it: a forgotten line would be a feature that is not there."""
    for name, text in tree.files({".cpp"}, "src/"):
        folder = Path(name).parent.as_posix()
        if Path(name).name != "list.cpp":
            continue
        for other, source in tree.files({".cpp"}, folder + "/"):
            if Path(other).parent.as_posix() == folder and other != name:
                for row in re.findall(r"^(?:extern )?const [A-Z]\w+ (k[A-Z]\w*)\s*[{=]", source, re.MULTILINE):
                    if not re.search(rf"\b{row}\b", text):
                        tree.fail(other, 1, f"{row} is not in {name}")
        for other, source in tree.files({".h"}, folder + "/"):
            stem = Path(other).stem
            if re.search(rf"\bHOST_DEVICE\b[^;{{]*\b{stem}\(", source) and not re.search(rf"\b{stem}\b[^.]", text):
                tree.fail(other, 1, f"{stem} is not in {name}")


CHECKS = [check_flags, check_ground_plan, check_named_files, check_named_things, check_list_rows]
