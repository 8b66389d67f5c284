#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/charconv.h"
#include "absl/strings/str_cat.h"
#include "base/json_memory.h"
#include "base/read_file.h"
#include "boost/json/basic_parser_impl.hpp"

namespace polymath::base {
namespace {

const JsonValue& empty_object() {
  static const JsonValue* const value = new JsonValue(JsonObject{});
  return *value;
}

boost::json::string_view to_key(std::string_view key) { return {key.data(), key.size()}; }
absl::string_view to_absl(std::string_view text) { return {text.data(), text.size()}; }

constexpr std::string_view kNanNumber = "-0e-99999";  // a spelling that TreeBuilder may read as NaN

struct NonFinite {
  std::string_view name, as_text, as_number;
};
constexpr NonFinite kNonFinite[] = {
    {"NaN", "\"NaN\"", kNanNumber},
    {"Infinity", "\"Infinity\"", "1e99999"},
    {"-Infinity", "\"-Infinity\"", "-1e99999"},
};

// Rewrites NaN, Infinity and -Infinity where they are values.
std::string replace_non_finite(std::string_view text, std::string_view NonFinite::*spelling) {
  std::string out;
  out.reserve(text.size() + 16);
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    const auto* row = std::find_if(std::begin(kNonFinite), std::end(kNonFinite),
                                   [&](const NonFinite& r) { return rest.starts_with(r.name); });
    if (!in_string && row != std::end(kNonFinite)) {
      out += row->*spelling;
      i += row->name.size() - 1;
      continue;
    }
    out.push_back(text[i]);
    if (text[i] == '"') in_string = !in_string;
    if (text[i] == '\\' && in_string && i + 1 < text.size()) out.push_back(text[++i]);
  }
  return out;
}

bool is_json_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Builds the tree from the parser's events. Boost rounds one decimal in ten wrongly, so each is read again.
class TreeBuilder {
 public:
  static constexpr size_t max_object_size = boost::json::object::max_size();
  static constexpr size_t max_array_size = boost::json::array::max_size();
  static constexpr size_t max_key_size = boost::json::string::max_size();
  static constexpr size_t max_string_size = boost::json::string::max_size();
  using Text = boost::json::string_view;
  using Error = boost::json::error_code;

  TreeBuilder(const boost::json::storage_ptr& memory, bool reads_nan)
      : reads_nan_(reads_nan), memory_(memory), stack_(memory) {}

  JsonValue release() { return stack_.release(); }
  size_t n_members() const { return n_members_; }  // of all objects, equal keys counted in

  bool on_document_begin(Error&) { return stack_.reset(memory_), true; }
  bool on_document_end(Error&) { return true; }
  bool on_object_begin(Error&) { return true; }
  bool on_object_end(size_t n, Error&) {
    n_members_ += n;
    return stack_.push_object(n), true;
  }
  bool on_array_begin(Error&) { return true; }
  bool on_array_end(size_t n, Error&) { return stack_.push_array(n), true; }
  bool on_key_part(Text part, size_t, Error&) { return stack_.push_chars(part), true; }
  bool on_key(Text rest, size_t, Error&) { return stack_.push_key(rest), true; }
  bool on_string_part(Text part, size_t, Error&) { return stack_.push_chars(part), true; }
  bool on_string(Text rest, size_t, Error&) { return stack_.push_string(rest), true; }
  bool on_number_part(Text, Error&) { return true; }
  bool on_int64(int64_t i, Text, Error&) { return stack_.push_int64(i), true; }
  bool on_uint64(uint64_t u, Text, Error&) { return stack_.push_uint64(u), true; }
  bool on_double(double d, Text text, Error&) {
    if (reads_nan_ && text == Text(kNanNumber.data(), kNanNumber.size())) d = std::numeric_limits<double>::quiet_NaN();
    double exact = 0;
    const auto read = absl::from_chars(text.data(), text.data() + text.size(), exact);
    const bool whole = !std::isnan(d) && read.ec == std::errc() && read.ptr == text.data() + text.size();
    return stack_.push_double(whole ? exact : d), true;
  }
  bool on_bool(bool b, Error&) { return stack_.push_bool(b), true; }
  bool on_null(Error&) { return stack_.push_null(), true; }
  bool on_comment_part(Text, Error&) { return true; }
  bool on_comment(Text, Error&) { return true; }

 private:
  const bool reads_nan_;
  boost::json::storage_ptr memory_;
  boost::json::value_stack stack_;
  size_t n_members_ = 0;
};

// Of all objects in a tree.
size_t count_members(const JsonValue& value) {
  size_t n = 0;
  if (value.is_array()) {
    for (const JsonValue& item : value.get_array()) n += count_members(item);
  } else if (value.is_object()) {
    for (const auto& member : value.get_object()) n += 1 + count_members(member.value());
  }
  return n;
}

// The code unit of "\\ud83d" at `at`; nullopt: no such escape is there.
std::optional<unsigned> escaped_unit(std::string_view text, size_t at) {
  constexpr size_t kEscapeBytes = 6;
  if (text.size() < at + kEscapeBytes || text[at] != '\\' || text[at + 1] != 'u') return std::nullopt;
  unsigned unit = 0;
  const char* const end = text.data() + at + kEscapeBytes;
  if (std::from_chars(text.data() + at + 2, end, unit, 16).ptr != end) return std::nullopt;
  return unit;
}

bool is_high(unsigned unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low(unsigned unit) { return unit >= 0xDC00 && unit < 0xE000; }

// Clients that cut a text by code units leave half of a pair. Escapes keep their length, so positions stay.
std::string mend_surrogates(std::string_view text) {
  std::string out(text);
  for (size_t at = out.find('\\'); at != std::string::npos; at = out.find('\\', at)) {
    const std::optional<unsigned> unit = escaped_unit(out, at);
    if (!unit.has_value()) {
      at += 2;  // another escape
    } else if (is_high(*unit) && is_low(escaped_unit(out, at + 6).value_or(0))) {
      at += 12;
    } else {
      if (is_high(*unit) || is_low(*unit)) out.replace(at, 6, "\\ufffd");
      at += 6;
    }
  }
  return out;
}

std::string complaint(std::string_view text, size_t at, const boost::json::error_code& error) {
  // The parser says "syntax error" to these. It stops at the first byte of the faulty sequence, or within it.
  const auto is_high_byte = [&](size_t i) { return i < text.size() && static_cast<unsigned char>(text[i]) >= 0x80; };
  if (is_high_byte(at) || (at > 0 && is_high_byte(at - 1))) {
    return absl::StrCat("invalid JSON at byte ", at, ": not UTF-8");
  }
  return absl::StrCat("invalid JSON at byte ", at, ": ", error.message());
}

absl::StatusOr<JsonValue> parse_text(std::string_view text, const JsonLimits& limits,
                                     const boost::json::storage_ptr& memory) {
  boost::json::parse_options options;
  options.max_depth = limits.depth_max;
  boost::json::basic_parser<TreeBuilder> parser(options, memory, limits.non_finite_numbers);
  boost::json::error_code error;
  const size_t consumed = parser.write_some(/*more=*/false, text.data(), text.size(), error);
  if (error) return absl::InvalidArgumentError(complaint(text, consumed, error));
  for (size_t i = consumed; i < text.size(); ++i) {
    if (!is_json_space(text[i])) {
      return absl::InvalidArgumentError(absl::StrCat("invalid JSON at byte ", i, ": text after the value"));
    }
  }
  JsonValue tree = parser.handler().release();
  if (limits.unique_keys && count_members(tree) != parser.handler().n_members()) {
    return absl::InvalidArgumentError("invalid JSON: a key occurs twice in an object");
  }
  return tree;
}

}  // namespace

absl::StatusOr<JsonValue> parse_json(std::string_view text, const JsonLimits& limits,
                                     const boost::json::storage_ptr& memory) {
  if (text.size() > limits.bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("JSON of ", text.size(), " bytes; at most ", limits.bytes_max));
  }
  try {
    std::string rewritten;
    if ((limits.non_finite || limits.non_finite_numbers) && text.find_first_of("NI") != std::string_view::npos) {
      rewritten = replace_non_finite(text, limits.non_finite ? &NonFinite::as_text : &NonFinite::as_number);
      text = rewritten;
    }
    if (limits.mend_surrogates && text.find("\\u") != std::string_view::npos) {
      rewritten = mend_surrogates(text);
      text = rewritten;
    }
    return parse_text(text, limits, memory);
  } catch (const std::bad_alloc&) {
    return absl::UnavailableError(absl::StrCat("there is no memory now for the JSON of ", text.size(), " bytes"));
  }
}

absl::StatusOr<JsonValue> parse_json(std::string_view text, const JsonLimits& limits) {
  return parse_json(text, limits, {});
}

absl::StatusOr<JsonValue> read_json_file(const std::string& path, const JsonLimits& limits) {
  ASSIGN_OR_RETURN(const std::string text, read_file(path, limits.bytes_max));
  auto parsed = parse_json(text, limits);
  if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", parsed.status().message()));
  return parsed;
}

bool says_nothing(const JsonValue& value) {
  return value.is_null() || (value.is_bool() && !value.get_bool()) ||
         (value.is_string() && value.get_string().empty()) || (value.is_array() && value.get_array().empty()) ||
         (value.is_object() && value.get_object().empty());
}

std::string to_text(const JsonValue& value) { return boost::json::serialize(value); }
std::string json_string(std::string_view text) {
  return boost::json::serialize(boost::json::string_view(text.data(), text.size()));
}

JsonReader::JsonReader(const JsonValue& value, std::string path)
    : value_(&value), path_(std::move(path)), shared_(std::make_shared<Shared>()) {
  if (!value.is_object()) {
    shared_->status =
        absl::InvalidArgumentError(absl::StrCat(path_.empty() ? "the document" : path_, ": must be an object"));
    value_ = &empty_object();
  }
}

std::string JsonReader::path_of(std::string_view key) const {
  return absl::StrCat(path_, path_.empty() ? "" : ".", to_absl(key));
}

const JsonValue* JsonReader::find(std::string_view key) const {
  const auto* member = value_->get_object().if_contains(to_key(key));
  if (shared_->config) shared_->asked.insert(path_of(key));
  return member == nullptr || member->is_null() ? nullptr : member;
}

bool JsonReader::has(std::string_view key) const { return find(key) != nullptr; }

bool JsonReader::is_null(std::string_view key) const {
  const auto* member = value_->get_object().if_contains(to_key(key));
  return member != nullptr && member->is_null();
}

void JsonReader::complain_absent(std::string_view key) {
  complain(key, shared_->config && is_null(key) ? "must not be null" : "missing");
}

void JsonReader::add_unread(const JsonObject& object, const std::string& path, std::vector<std::string>& out) const {
  for (const auto& [key, value] : object) {
    const std::string name = absl::StrCat(path, path.empty() ? "" : ".", absl::string_view(key.data(), key.size()));
    if (shared_->opened.contains(name) && value.is_object()) {
      add_unread(value.get_object(), name, out);
    } else if (!shared_->asked.contains(name) && !says_nothing(value)) {
      out.push_back(name);
    }
  }
}

std::vector<std::string> JsonReader::asked() const { return {shared_->asked.begin(), shared_->asked.end()}; }

std::vector<std::string> JsonReader::unread() const {
  std::vector<std::string> out;
  add_unread(value_->get_object(), path_, out);
  return out;
}

void JsonReader::complain(std::string_view key, std::string_view what) {
  if (shared_->status.ok()) {
    shared_->status = absl::InvalidArgumentError(absl::StrCat(path_of(key), ": ", to_absl(what)));
  }
}

absl::Status JsonReader::status() const { return shared_->status; }

std::optional<int64_t> whole_number(const JsonValue& value) {
  if (value.is_int64()) return value.get_int64();
  constexpr double kExactMax = 9007199254740992;  // 2^53: a double above it may have lost digits
  if (!value.is_double() || std::abs(value.get_double()) > kExactMax) return std::nullopt;
  const double number = value.get_double();
  return std::floor(number) == number ? std::optional(static_cast<int64_t>(number)) : std::nullopt;
}

int64_t JsonReader::i64(std::string_view key) {
  if (!has(key)) return complain_absent(key), 0;
  return i64(key, 0);
}

int64_t JsonReader::i64(std::string_view key, int64_t fallback) {
  const auto* member = find(key);
  if (member == nullptr) return fallback;
  const std::optional<int64_t> whole = whole_number(*member);
  return whole.has_value() ? *whole : (complain(key, "must be an integer"), fallback);
}

int JsonReader::i(std::string_view key) {
  if (!has(key)) return complain_absent(key), 0;
  return i(key, 0);
}

int JsonReader::i(std::string_view key, int fallback) {
  const int64_t wide = i64(key, fallback);
  if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
    return complain(key, "out of range"), fallback;
  }
  return static_cast<int>(wide);
}

double JsonReader::f(std::string_view key) {
  if (!has(key)) return complain_absent(key), 0;
  return f(key, 0);
}

double JsonReader::f(std::string_view key, double fallback) {
  const auto* member = find(key);
  if (member == nullptr) return fallback;
  if (!member->is_number()) return complain(key, "must be a number"), fallback;
  return member->to_number<double>();
}

bool JsonReader::b(std::string_view key) {
  if (!has(key)) return complain_absent(key), false;
  return b(key, false);
}

bool JsonReader::b(std::string_view key, bool fallback) {
  const auto* member = find(key);
  if (shared_->config && is_null(key)) return complain_absent(key), fallback;
  if (member == nullptr) return fallback;
  if (member->is_number() && shared_->config) return member->to_number<double>() != 0;
  if (!member->is_bool()) return complain(key, "must be true or false"), fallback;
  return member->get_bool();
}

std::string JsonReader::s(std::string_view key) {
  if (!has(key)) return complain_absent(key), "";
  return s(key, "");
}

std::string JsonReader::s(std::string_view key, std::string_view fallback) {
  const auto* member = find(key);
  if (member == nullptr) return std::string(fallback);
  if (!member->is_string()) return complain(key, "must be a string"), std::string(fallback);
  return std::string(member->get_string());
}

std::vector<int> JsonReader::ints(std::string_view key) {
  std::vector<int> out;
  for (const double d : numbers(key)) {
    if (std::floor(d) != d || d < std::numeric_limits<int>::min() || d > std::numeric_limits<int>::max()) {
      return complain(key, "must be an array of integers"), std::vector<int>{};
    }
    out.push_back(static_cast<int>(d));
  }
  return out;
}

std::vector<double> JsonReader::numbers(std::string_view key) {
  std::vector<double> out;
  const auto* member = find(key);
  if (member == nullptr) return out;
  if (!member->is_array()) return complain(key, "must be an array of numbers"), out;
  for (const auto& item : member->get_array()) {
    if (!item.is_number()) return complain(key, "must be an array of numbers"), std::vector<double>{};
    out.push_back(item.to_number<double>());
  }
  return out;
}

std::vector<std::string> JsonReader::strings(std::string_view key) {
  std::vector<std::string> out;
  const auto* member = find(key);
  if (member == nullptr) return out;
  if (!member->is_array()) return complain(key, "must be an array of strings"), out;
  for (const auto& item : member->get_array()) {
    if (!item.is_string()) return complain(key, "must be an array of strings"), std::vector<std::string>{};
    out.emplace_back(item.get_string());
  }
  return out;
}

JsonReader JsonReader::object(std::string_view key) {
  const auto* member = find(key);
  if (member != nullptr && !member->is_object()) complain(key, "must be an object");
  JsonReader child(member != nullptr && member->is_object() ? *member : empty_object(), path_of(key));
  child.shared_ = shared_;
  shared_->opened.insert(child.path_);
  return child;
}

}  // namespace polymath::base
