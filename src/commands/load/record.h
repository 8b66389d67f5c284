#pragma once

// What was measured of one request. Times are seconds from the run's start.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "commands/load/token_count.h"

namespace polymath::commands::load {

struct TokenEvent {
  double at = 0;
  int tokens = 0;  // at least 1
};

struct Record {
  double due = 0;                  // when it should have been sent; latencies count from here
  double sent = 0;                 // when it was
  double end = 0;                  // of the response
  std::vector<TokenEvent> events;  // empty: the answer came at once, or had no tokens

  int status = 0;     // of HTTP; 0: no response
  std::string error;  // empty: completed
  int prompt_asked = 0;
  int output_asked = 0;
  int64_t prompt_tokens = 0;  // by the server; 0: it does not say
  int64_t output_tokens = 0;
  std::array<int64_t, kCountedByKinds> counted{};  // tokens of `events`, or of an answer at once

  bool completed() const { return error.empty(); }
};

}  // namespace polymath::commands::load
