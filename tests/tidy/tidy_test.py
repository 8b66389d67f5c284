#!/usr/bin/env python3
"""The tidy checks find what they should: each rule once kept and once broken, in a small tree of its own."""

import tempfile
import unittest
from pathlib import Path

import cpp_source
import language
import shape
import tidy
import truth

ARCHITECTURE = """# A
## 2. Who
```
base      :
quant     : base     a comment, not a room
text      : base
main      : all
```
"""
PLAN = """# A
## 1. The ground plan
```
README.md    one page
src/
  base/      logs, of a.cpp; formats/<name>.cpp
  later/     planned: b.cpp
docs/        adr/
```
"""
FLAG_TABLE = "src/commands/flag_table.cpp"
FLAGS = 'Flag table[] = {\n    {"max-len", "", kValue},\n    refused("enable-lora", "", "why"),\n};\n'
CMAKE = "polymath_room(base LIBS x)\npolymath_room(quant ROOMS base)\npolymath_room(text ROOMS base LIBS y)\n"


def problems(check, files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {"ARCHITECTURE.md": ARCHITECTURE, "src/CMakeLists.txt": CMAKE, FLAG_TABLE: FLAGS, **files}.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        tree = tidy.Tree(folder)
        check(tree)
        return tree.problems


def body(n_lines):
    return "namespace polymath::base {\nint f() {\n" + "  g();\n" * (n_lines - 2) + "}\n}\n"


# (check, file, text, what the one problem says; None: no problem)
ROWS = [
    (tidy.check_includes, "src/quant/a.cpp", '#include "base/x.h"\n#include "quant/y.h"\n', None),
    (tidy.check_includes, "src/base/a.cpp", '#include "quant/x.h"\n', "base may not include quant"),
    (tidy.check_includes, "src/quant/a.cpp", '#include "y.h"\n', "written from src/"),
    (tidy.check_includes, "src/misc/a.cpp", "", "no room"),
    (tidy.check_includes, "src/commands/a.cpp", '#include "text/x.h"\n', None),
    (tidy.check_includes, "src/CMakeLists.txt", CMAKE.replace("quant ROOMS base", "quant"), "quant links"),
    (tidy.check_third_party, "src/base/a.cpp", "#include <boost/beast/http.hpp>\n", "server/"),
    (tidy.check_third_party, "src/server/a.cpp", "#include <boost/beast/http.hpp>\n", None),
    (tidy.check_third_party, "src/text/a.cpp", "#include <cuda_runtime.h>\n", "backend/cuda/"),
    (tidy.check_third_party, "src/quant/a.cpp", "#ifdef WITH_CUDA\n#endif\n", "registry"),
    (tidy.check_namespaces, "src/quant/a.h", "namespace polymath::quant::formats {\n}\n", None),
    (tidy.check_namespaces, "src/quant/a.h", "namespace polymath::base {\n}\n", "polymath::base"),
    (tidy.check_namespaces, "src/quant/a.h", "int f();\n", "nothing of it"),
    (tidy.check_namespaces, "src/quant/a.h", "// a comment\n#define A 1\n", None),
    (tidy.check_function_lengths, "src/base/a.cpp", body(70), None),
    (tidy.check_function_lengths, "src/base/a.cpp", body(71), "1 of 1 functions"),
    (tidy.check_function_lengths, "src/base/a_avx512.cpp", body(200), None),
    (tidy.check_file_lengths, "src/base/a.cpp", "\n" * 501, "500 at most"),
    (tidy.check_file_lengths, "src/base/a_test.cpp", "\n" * 800, None),
    (tidy.check_strays, "src/base/a.h", "", "nobody includes"),
    (tidy.check_strays, "tools/a.cpp", "", "no CMakeLists.txt"),
    (tidy.check_words, "a.py", "# TODO: later\n", "without an issue"),
    (tidy.check_words, "a.py", "# TODO(#12): later\n", None),
    (tidy.check_words, "a.md", tidy.FORBIDDEN[0], "somebody's machine"),
    (tidy.check_limits, "src/base/a.h", "struct A {\n  int queue_max = 4;  // full: 429\n};\n", None),
    (tidy.check_limits, "src/base/a.h", "// More are refused.\nconstexpr int kDepthMax = 4;\n", None),
    (tidy.check_limits, "src/base/a.h", "\nint queue_max =\n    4;  // full: 429\n", None),
    (tidy.check_limits, "src/base/a.h", "struct A {\n\n  int queue_max = 4;\n};\n", "queue_max"),
    (tidy.check_limits, "src/base/a.h", "\nconstexpr int kDepthMax = 4;\n", "kDepthMax"),
    (tidy.check_limits, "src/base/a.cpp", "void f() {\n  float row_max = 0;\n}\n", None),
    (tidy.check_lists, "src/base/list.cpp", "int list[] = {1};\n", "order"),
    (tidy.check_pages, "src/base/a.cpp", "", "missing"),
    (tidy.check_pages, "docs/internals/base.md", "\n" * 151, "150 at most"),
    (tidy.check_links, "docs/a.md", "[a](../ARCHITECTURE.md#x) [b](https://x.org) [c](#d) `[e](f)`\n", None),
    (tidy.check_links, "docs/a.md", "[a](b.md)\n", "dead link: b.md"),
    (language.check_avoided_words, "src/base/a.h", "int card = 1;\n#include \"product.h\"\n", None),
    (language.check_avoided_words, "docs/a.md", "A dot product and `card`.\n", None),
    (language.check_sentences, "src/base/a.h", "int x;  // " + "word " * 21 + "end.\n", None),
    (language.check_sentences, "src/base/a.h", "// " + "word " * 9 + "end.\n", None),
    (truth.check_flags, "src/base/a.h", "// --no-max-len, --max_len, a -- b, --i\nint x = --y;\n", "--i is no flag"),
    (truth.check_flags, "docs/a.md", "`--max-length`\n", "--max-length is no flag"),
    (truth.check_flags, "docs/a.md", "`--max-len 4 --enable-lora`, cmake --preset x\n", None),
    (truth.check_flags, "src/base/a.cpp", 'f("try --dtipe");\n', "--dtipe is no flag"),
    (truth.check_named_files, "docs/a.md", "`src/CMakeLists.txt`, `no/file.cpp` is planned\n", None),
    (truth.check_named_files, "docs/a.md", "`no/file.cpp`\n", "no/file.cpp"),
    (truth.check_named_things, "docs/a.md", "`flag_table.cpp`, `kValue`, `absl::Flag`, `PrefixMap` is planned\n", None),
    (truth.check_named_things, "docs/a.md", "`flags.cpp`\n", "no such file"),
    (truth.check_named_things, "docs/a.md", "`Flag::apply`\n", "not in the sources"),
    (truth.check_ground_plan, "README.md", "", None),
]

# (check, files, what the first problem says; None: no problem)
TREES = [
    (language.check_avoided_words, {"src/base/a.h": "// All that the card has.\n"}, '"card": write GPU'),
    (language.check_avoided_words, {"src/base/a.h": 'log("nobody knows");\n'}, '"nobody"'),
    (language.check_sentences, {"src/base/a.h": "// " + "word " * 20 + "end.\n// One. Two.\n"}, "a sentence of 21 words"),
    (language.check_sentences, {"src/base/a.h": "// " + "word " * 10 + "end.\n"}, "has 11 words"),
    (shape.check_parameters, {"src/base/a.cpp": "void f(int a, int b, g<int, int> c, int d, int e) {\n}\n"}, None),
    (shape.check_parameters, {"src/base/a.cpp": "void f(int a, int b, int c, int d, int e, int f) {\n}\n"}, "6 parameters"),
    (shape.check_nesting, {"src/base/a.cpp": "void f() {\n  for (;;) if (a) while (b) g();\n}\n"}, None),
    (shape.check_nesting, {"src/base/a.cpp": "void f() {\n  for (;;) if (a) while (b) if (c) g();\n}\n"}, "4 deep"),
    (shape.check_folders, {f"src/base/a{i}.txt": "" for i in range(45)}, None),
    (shape.check_folders, {f"src/base/a{i}.txt": "" for i in range(46)}, "46 files"),
    (shape.check_virtuals, {"src/base/a.h": "struct A {\n  virtual int f() = 0;\n  virtual ~A();\n};\n"}, "function f"),
    (
        shape.check_virtuals,
        {"src/base/a.h": "struct A {\n  virtual int f() = 0;\n};\n", "src/base/a.cpp": "int g(A& a) { return a.f(); }\n"},
        None,
    ),
    (
        shape.check_virtuals,
        {"src/base/a.h": "struct A {\n  virtual int f() = 0;\n};\n", "src/base/a_test.cpp": "int g(A& a) { return a.f(); }\n"},
        "function f",
    ),
    (truth.check_ground_plan, {"ARCHITECTURE.md": PLAN, "README.md": "", "src/base/a.cpp": "", "docs/adr/1.md": ""}, None),
    (truth.check_ground_plan, {"ARCHITECTURE.md": PLAN, "README.md": "", "src/base/a.cpp": ""}, "docs/"),
    (truth.check_ground_plan, {"ARCHITECTURE.md": PLAN, "README.md": "", "src/base/b.h": "", "docs/adr/1.md": ""}, "a.cpp"),
    (truth.check_list_rows, {"src/base/list.cpp": "rows = {&kA};\n", "src/base/a.cpp": "const Row kA{1};\n"}, None),
    (truth.check_list_rows, {"src/base/list.cpp": "rows = {&kA};\n", "src/base/b.cpp": "const Row kB{1};\n"}, "kB is not in"),
    (
        truth.check_list_rows,
        {"src/base/list.cpp": '#include "base/b.h"\n', "src/base/b.h": "HOST_DEVICE inline void b(int x) {}\n"},
        "b is not in",
    ),
]

CPP = """
#define MACRO(x) do { x; } while (0)
const char* kText = R"({ not a brace )";
namespace a {
struct Row { int x = 3; int twice() const { return 2 * x; } };
const Row kRows[] = {{1}, {2}};
enum class Color { kRed };
A::A(int x) noexcept : x_(x), y_{1, 2}, z_(f(x)) {
  if (x) { g(); }
}
template <typename T>
auto f(T t) -> std::vector<T> {
  auto lambda = [&](char c) { return c == '{'; };
  return {t, 1'000};
}
bool operator==(const A& a, const A& b) { return true; }
static const int kOne = [] { return 1; }();
void last() {
}
}  // namespace a
"""


class Tidy(unittest.TestCase):
    def test_rows(self):
        for check, name, text, says in ROWS:
            with self.subTest(check=check.__name__, name=name, text=text[:60]):
                found = problems(check, {name: text})
                if says is None:
                    self.assertEqual(found, [])
                else:
                    self.assertEqual(len(found), 1, found)
                    self.assertIn(says, found[0])

    def test_trees(self):
        for check, files, says in TREES:
            with self.subTest(check=check.__name__, files=str(files)[:80]):
                found = problems(check, files)
                if says is None:
                    self.assertEqual(found, [])
                else:
                    self.assertIn(says, (found or ["no problem"])[0])

    def test_subjects(self):
        self.assertEqual(language.subject_problems("1a\t" + "x" * 72 + "\n"), [])
        self.assertIn("commit 1a", language.subject_problems("1a\t" + "x" * 73 + "\n")[0])

    def test_parameters(self):
        for header, n in [
            ("int f()", 0),
            ("int f(int a)", 1),
            ("A::A(int a, B b) : a_(a), b_{b, c}", 2),
            ("__global__ void __launch_bounds__(kThreads, 2) f(const T* a, int b)", 2),
            ("bool operator==(const A& a, const B& b)", 2),
            ("template <class A, class B> auto f(std::map<A, B> m, void (*g)(A, B), int c) -> B", 3),
        ]:
            with self.subTest(header=header):
                self.assertEqual(cpp_source.parameters(header), n)

    def test_nesting(self):
        for body, n in [
            ("return 1;", 0),
            ("if (a) b(); else if (c) d(); else e();", 1),
            ("if (a) { for (;;) { b(); } } else { return; }", 2),
            ("for (;;)\n  for (;;)\n    if (a) { switch (b) { case 1: c(); } }", 4),
            ("for (;;) { if (a) continue; if (b) return c; }", 1),
            ("run([&] { if (a) { b(); } }); if (c) d();", 1),
            ("int a[] = {1, 2}; do { if (b) c(); } while (d);", 2),
        ]:
            with self.subTest(body=body):
                self.assertEqual(cpp_source.nesting(body), n)

    def test_functions(self):
        found = [(f.name, f.n_lines) for f in cpp_source.functions(CPP)]
        self.assertEqual(found, [("twice", 1), ("A::A", 3), ("f", 4), ("operator==", 1), ("last", 2)])


if __name__ == "__main__":
    unittest.main()
