#pragma once

// JSON from files and clients. Parsing is bounded; every error names the member's path.
//
//   ASSIGN_OR_RETURN(JsonValue root, parse_json(text, {}));
//   JsonReader j(root);                       // keeps the first error
//   int layers = j.i("num_hidden_layers");
//   float eps = j.f("rms_norm_eps", 1e-6f);   // with a default: absent or null is fine
//   RETURN_IF_ERROR(j.status());              // "num_hidden_layers: missing"
//
// Readers return plain values, so that a list of fields reads as a table.
// A wrong type is always an error. A default replaces an absent or null member only.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "boost/json.hpp"

namespace polymath::base {

using JsonValue = boost::json::value;
using JsonObject = boost::json::object;
using JsonArray = boost::json::array;

struct JsonLimits {
  size_t depth_max = 64;            // deeper: kInvalidArgument
  size_t bytes_max = 256u << 20;    // longer: kInvalidArgument
  bool mend_surrogates = false;     // half of a surrogate pair becomes U+FFFD; else: kInvalidArgument
  bool non_finite = false;          // Python's NaN, Infinity and -Infinity are read, as strings of that text
  bool non_finite_numbers = false;  // or as numbers
  bool unique_keys = false;         // a key that occurs twice in an object: kInvalidArgument; else the last wins
};

// kInvalidArgument with the byte position.
absl::StatusOr<JsonValue> parse_json(std::string_view text, const JsonLimits& limits);

// A file of at most limits.bytes_max. kNotFound, kInvalidArgument; the message names the file.
absl::StatusOr<JsonValue> read_json_file(const std::string& path, const JsonLimits& limits);

// The one-line text of a value; UTF-8 is kept as it is.
std::string to_text(const JsonValue& value);
// A string as JSON writes it, in quotes. REQUIRES: UTF-8.
std::string json_string(std::string_view text);

// Whether a member of this value is as good as absent: null, false, "", [] or {}.
bool says_nothing(const JsonValue& value);

// An integer, or a number without a fraction ("1.0"), as clients in languages with one kind of number send it.
std::optional<int64_t> whole_number(const JsonValue& value);

class JsonReader {
 public:
  explicit JsonReader(const JsonValue& value, std::string path = "");

  bool has(std::string_view key) const;               // present and not null
  bool is_null(std::string_view key) const;           // present, and null
  const JsonValue* find(std::string_view key) const;  // null: absent, or JSON null

  int64_t i64(std::string_view key);
  int64_t i64(std::string_view key, int64_t fallback);
  int i(std::string_view key);  // complains outside int32
  int i(std::string_view key, int fallback);
  double f(std::string_view key);  // an integer is a number, too
  double f(std::string_view key, double fallback);
  bool b(std::string_view key);
  bool b(std::string_view key, bool fallback);
  std::string s(std::string_view key);
  std::string s(std::string_view key, std::string_view fallback);
  std::vector<int> ints(std::string_view key);             // absent: empty
  std::vector<double> numbers(std::string_view key);       // absent: empty
  std::vector<std::string> strings(std::string_view key);  // absent: empty
  JsonReader object(std::string_view key);  // absent: an empty object; errors are shared with this reader

  // Reads on as Python would: a number serves as a switch, and null does not. asked() and unread() need this.
  void read_as_config() { shared_->config = true; }
  // Paths of every member that this reader and those of object() were asked for, absent ones too; sorted.
  std::vector<std::string> asked() const;
  // Paths of members that this reader and those of object() have not been asked for ("rope_scaling.beta"). Members
  // that say nothing are left out: null, false, "", [] and {}.
  std::vector<std::string> unread() const;

  // Adds an error of the caller's ("head_dim: must be even").
  void complain(std::string_view key, std::string_view what);
  absl::Status status() const;  // kInvalidArgument with the first error
  const JsonValue& value() const { return *value_; }

 private:
  // Of a reader and those that it made.
  struct Shared {
    absl::Status status;
    bool config = false;
    std::set<std::string> asked, opened;  // paths of members, and of objects read member by member
  };

  void complain_absent(std::string_view key);
  std::string path_of(std::string_view key) const;
  void add_unread(const JsonObject& object, const std::string& path, std::vector<std::string>& out) const;

  const JsonValue* value_;
  std::string path_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace polymath::base
