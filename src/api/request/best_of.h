#pragma once

// best_of: more choices are generated than shown.

#include <vector>

#include "api/collecting_writer.h"

namespace polymath::api {

// Of each `candidates` choices, those of one prompt, the n with the highest sums of log-probabilities, best first. The
// prompt's tokens go to the first. REQUIRES: candidates >= n, and a multiple of it many choices.
std::vector<CollectedChoice> keep_best(std::vector<CollectedChoice> choices, int candidates, int n);

// Moves the choice with the highest mean log-probability of a token to the front; the others keep their order. Of
// equals the first wins. REQUIRES: at least one.
void put_best_first(std::vector<CollectedChoice>& choices);

}  // namespace polymath::api
