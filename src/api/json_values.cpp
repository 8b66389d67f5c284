#include "api/json_values.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/status.h"

namespace polymath::api {

absl::StatusOr<std::vector<int32_t>> parse_ids(const base::JsonValue& value, std::string_view field, int vocab) {
  if (!value.is_array()) return invalid(field, "must be an array of token ids");
  std::vector<int32_t> ids;
  ids.reserve(value.get_array().size());
  for (const base::JsonValue& item : value.get_array()) {
    const std::optional<int64_t> id = base::whole_number(item);
    if (!id.has_value()) return invalid(field, "token ids must be integers, and all items of one kind");
    if (*id < 0 || *id >= vocab) {
      return invalid(field, absl::StrCat("token id ", *id, " is not in the vocabulary of ", vocab));
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

bool asks_nothing(const base::JsonValue& value, std::string_view neutral) {
  if (base::says_nothing(value)) return !value.is_bool() || neutral != "true";
  if (neutral.empty()) return false;
  const auto parsed = base::parse_json(neutral, {});
  if (!parsed.ok()) return false;
  if (parsed->is_number() && value.is_number()) return parsed->to_number<double>() == value.to_number<double>();
  return *parsed == value;
}

base::JsonArray ids_json(const std::vector<int32_t>& ids) {
  base::JsonArray out;
  out.reserve(ids.size());
  for (const int32_t id : ids) out.emplace_back(id);
  return out;
}

base::JsonArray offsets_json(const std::vector<text::TextToken>& tokens) {
  base::JsonArray out;
  out.reserve(tokens.size());
  for (const text::TextToken& token : tokens) out.emplace_back(base::JsonArray{token.begin, token.end});
  return out;
}

boost::json::string text_json(std::string_view text) { return boost::json::string(text.data(), text.size()); }

double logprob_json(float logprob) {
  constexpr float kLogprobMin = -9999.0f;  // JSON has no infinity
  logprob = std::max(logprob, kLogprobMin);
  char text[32];
  const auto written = std::to_chars(text, text + sizeof(text), logprob);
  double value = logprob;
  std::from_chars(text, written.ptr, value);
  return value;
}

void ObjectText::add(std::string_view name, const base::JsonValue& value) { member(name) += base::to_text(value); }

void ObjectText::add_all(const base::JsonObject& members) {
  for (const auto& [name, value] : members) add({name.data(), name.size()}, value);
}

std::string& ObjectText::member(std::string_view name) {
  if (!std::exchange(empty_, false)) out_ += ',';
  out_ += '"';
  out_ += name;
  return out_ += "\":";
}

std::string& ListText::next() {
  if (text_.size() > 1) text_ += ',';
  return text_;
}

}  // namespace polymath::api
