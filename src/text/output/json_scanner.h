#pragma once

// Checks one JSON value byte by byte (RFC 8259). Raw control characters within strings are taken: models write them.
//
//   JsonScanner scanner;
//   scanner.push('{') == kMore; scanner.push('}') == kDone;
//
// Thread safety: none.

#include <cstdint>
#include <string>

namespace polymath::text {

class JsonScanner {
 public:
  enum class Step : uint8_t {
    kMore,     // the byte belongs to the value
    kDone,     // and completes it
    kEndedAt,  // the value, a number or a word, ended before this byte
    kBad,      // no JSON
  };
  static constexpr size_t kDepthMax = 64;  // deeper: kBad

  // REQUIRES: no other step than kMore yet.
  Step push(char byte);
  bool in_string() const { return state_ == State::kString || state_ == State::kEscape; }

 private:
  enum class State : uint8_t { kValue, kFirstValue, kString, kEscape, kHex, kWord, kFirstKey, kKey, kColon, kNext };

  Step begin_value(char byte);
  Step end_value();
  Step open(char bracket);
  Step close(char bracket);
  Step push_string(char byte);
  Step push_word(char byte);
  Step push_structure(char byte);
  bool word_is_valid() const;

  State state_ = State::kValue;
  std::string stack_;  // open brackets
  std::string word_;   // a number, true, false or null
  int hex_left_ = 0;
  bool is_key_ = false;  // the string is an object's key
};

// A byte of a JSON value as it is passed on: control characters of strings become escapes.
void append_json_byte(std::string& out, char byte, bool in_string);

}  // namespace polymath::text
