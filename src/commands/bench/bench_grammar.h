#pragma once

// polymath bench grammar DIRECTORY: compiles grammars over a tokenizer's vocabulary and follows texts through them.
//
// Reads a JSON object a line from stdin: {"id", "language", "source", "texts": [...]}. Writes one to stdout for each:
// {"id", "error", "compile_us", "accepted": [...], "mask_us": [...]}, a time for each mask of each text.
// tools/compare_grammars.py drives it, beside other implementations.

#include "commands/verbs.h"

namespace polymath::commands {

int bench_grammar(const Arguments& arguments);

}  // namespace polymath::commands
