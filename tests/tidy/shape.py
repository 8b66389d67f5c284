"""The shape of the code: parameters, nesting, folders, virtual functions without a caller."""

import re
from collections import Counter
from pathlib import Path

import cpp_source

CPP = {".cpp", ".h", ".cu", ".cuh"}
PARAMETERS_MAX = 5
NESTING_MAX = 3
FOLDER_FILES_MAX = 45

# Functions that may take more: (where, names, why). At most PARAMETER_EXCEPTIONS_MAX rows.
PARAMETER_EXCEPTIONS_MAX = 15
PARAMETER_EXCEPTIONS = [
    ("src/routing/", r"hash|sigmoid_\w+|softmax_\w+|sparsemixer|switch_top1|topk_softmax", "RouteFn: one row's inputs and outputs"),
    ("src/backend/cuda/", r"mma_bf16|copy_tensor_\dd|send", "the operands of one PTX instruction"),
    ("src/server/", r"choose_http11", "OpenSSL's ALPN callback"),
]


def may_take_more(name, function):
    plain = function.rpartition("::")[2]
    return any(name.startswith(where) and re.fullmatch(names, plain) for where, names, _ in PARAMETER_EXCEPTIONS)


def check_parameters(tree):
    if len(PARAMETER_EXCEPTIONS) > PARAMETER_EXCEPTIONS_MAX:
        tree.problems.append(f"{len(PARAMETER_EXCEPTIONS)} exceptions of the parameters' rule; {PARAMETER_EXCEPTIONS_MAX} at most")
    for name, _ in tree.files(CPP):
        for f in tree.functions(name):
            n = cpp_source.parameters(f.header)
            if n > PARAMETERS_MAX and not may_take_more(name, f.name):
                tree.fail(name, f.line, f"{f.name} takes {n} parameters; {PARAMETERS_MAX} at most")


def check_nesting(tree):
    for name, _ in tree.files(CPP):
        code = tree.code(name)
        for f in tree.functions(name):
            n = cpp_source.nesting(code[f.begin + 1 : f.end])
            if n > NESTING_MAX:
                tree.fail(name, f.line, f"{f.name} nests {n} deep; {NESTING_MAX} at most")


def check_folders(tree):
    files = Counter(str(Path(name).parent) for name in tree.texts if name.startswith("src/"))
    for folder, n in files.items():
        if n > FOLDER_FILES_MAX:
            tree.fail(folder, 1, f"{n} files in one folder; {FOLDER_FILES_MAX} at most")


def check_virtuals(tree):
    """A virtual function that nothing but tests calls is dead, or its caller was forgotten."""
    declared = re.compile(r"\bvirtual\b[^;{}()]*?\b(\w+)\s*\(")
    called = set()
    virtuals = {}
    for name, _ in tree.files(CPP, "src/"):
        code = tree.code(name)
        for match in declared.finditer(code):
            if code[match.start(1) - 1] != "~":
                virtuals.setdefault(match.group(1), (name, code.count("\n", 0, match.start()) + 1))
        if not re.search(r"_test\.\w+$|/test_\w+\.h$", name):
            for f in tree.functions(name):
                called.update(re.findall(r"\b(\w+)\s*\(", code[f.begin : f.end]))
    for function, (name, line) in sorted(virtuals.items()):
        if function not in called:
            tree.fail(name, line, f"nothing calls the virtual function {function}")


CHECKS = [check_parameters, check_nesting, check_folders, check_virtuals]
