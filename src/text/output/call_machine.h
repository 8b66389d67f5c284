#pragma once

// Reads tool calls byte by byte, in one family of formats. Each call's events come in order: begin, arguments, end.
//
// Thread safety: none.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/output/output_events.h"
#include "text/output/tool_types.h"

namespace polymath::text {

class CallMachine {
 public:
  enum class Step : uint8_t {
    kMore,
    kDone,  // this byte ends the calls
    kBad,   // this byte is not of the format. Calls that have ended stay
  };
  virtual ~CallMachine() = default;
  // REQUIRES: no other step than kMore yet.
  virtual Step push(char byte, OutputEvents& out) = 0;
  // The text has ended. False: within a call. May append the events of a last call.
  virtual bool finish(OutputEvents& out) = 0;
};

// A mark that may come at this place, of several; fed byte by byte.
class MarkMatcher {
 public:
  enum class Step : uint8_t { kMore, kMet, kBad };
  // `marks` must outlive it; empty ones are ignored.
  explicit MarkMatcher(std::vector<std::string_view> marks) : marks_(std::move(marks)) {}
  Step push(char byte);
  size_t met() const { return met_; }  // which mark; it is forgotten by the next push
  bool is_empty() const { return seen_.empty(); }

 private:
  std::vector<std::string_view> marks_;
  std::string seen_;
  size_t met_ = 0;
};

}  // namespace polymath::text
