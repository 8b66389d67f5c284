#pragma once

// JSON values that the requests and answers of several dialects share.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer.h"

namespace polymath::api {

// Ids of a JSON array, each in [0, vocab). kInvalidArgument names `field`.
absl::StatusOr<std::vector<int32_t>> parse_ids(const base::JsonValue& value, std::string_view field, int vocab);

// True if a field with this value has no effect: it is null, empty, false, or equal to `neutral`.
// `neutral`: JSON text, or empty. Where it is "true", false does have an effect.
bool asks_nothing(const base::JsonValue& value, std::string_view neutral);

base::JsonArray ids_json(const std::vector<int32_t>& ids);
base::JsonArray offsets_json(const std::vector<text::TextToken>& tokens);  // [[begin, end], ...]
boost::json::string text_json(std::string_view text);
// The shortest decimal that reads back as this float; minus infinity becomes -9999, as in vLLM.
double logprob_json(float logprob);

// Writes an object member by member into a text, so that a large member needs no tree.
//
//   ObjectText object(out);
//   object.add("index", 0);
//   append_list(object.member("tokens"), ...);   // the caller appends the member's JSON
//   object.close();
class ObjectText {
 public:
  explicit ObjectText(std::string& out) : out_(out) { out_ += '{'; }
  void add(std::string_view name, const base::JsonValue& value);
  void add_all(const base::JsonObject& members);
  std::string& member(std::string_view name);  // REQUIRES: the name needs no escape
  void close() { out_ += '}'; }

 private:
  std::string& out_;
  bool empty_ = true;
};

// Puts commas between the values of a list or of an object that is written as text.
class ListText {
 public:
  explicit ListText(char open) : text_(1, open) {}
  std::string& next();
  void add(const base::JsonValue& value) { next() += base::to_text(value); }
  const std::string& close(char end) { return text_ += end; }

 private:
  std::string text_;
};

}  // namespace polymath::api
