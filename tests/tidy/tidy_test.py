#!/usr/bin/env python3
"""The tidy checks find what they should: each rule once kept and once broken, in a small tree of its own."""

import tempfile
import unittest
from pathlib import Path

import cpp_source
import tidy

ARCHITECTURE = """# A
## 2. Who
```
base      :
quant     : base     a comment, not a room
text      : base
main      : all
```
"""
CMAKE = "polymath_room(base LIBS x)\npolymath_room(quant ROOMS base)\npolymath_room(text ROOMS base LIBS y)\n"


def problems(check, files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {"ARCHITECTURE.md": ARCHITECTURE, "src/CMakeLists.txt": CMAKE, **files}.items():
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

    def test_functions(self):
        found = [(f.name, f.n_lines) for f in cpp_source.functions(CPP)]
        self.assertEqual(found, [("twice", 1), ("A::A", 3), ("f", 4), ("operator==", 1), ("last", 2)])


if __name__ == "__main__":
    unittest.main()
