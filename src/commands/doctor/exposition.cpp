#include "commands/doctor/exposition.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace polymath::commands {
namespace {

// Reads one line: name{label="value",...} value [time].
class LineReader {
 public:
  explicit LineReader(std::string_view line) : line_(line) {}

  bool read(Sample& sample) {
    sample.name = std::string(word());
    if (sample.name.empty()) return false;
    skip_blanks();
    if (next_is('{') && !read_labels(sample)) return false;
    skip_blanks();
    const std::string_view value = line_.substr(at_, line_.find_first_of(" \t", at_) - at_);
    return parse_value(value, sample.value);
  }

 private:
  std::string_view word() {
    const size_t begin = at_;
    while (at_ < line_.size() &&
           (absl::ascii_isalnum(static_cast<unsigned char>(line_[at_])) || line_[at_] == '_' || line_[at_] == ':')) {
      ++at_;
    }
    return line_.substr(begin, at_ - begin);
  }
  void skip_blanks() {
    while (at_ < line_.size() && (line_[at_] == ' ' || line_[at_] == '\t')) ++at_;
  }
  bool next_is(char c) const { return at_ < line_.size() && line_[at_] == c; }
  bool take(char c) {
    if (!next_is(c)) return false;
    ++at_;
    return true;
  }

  bool read_labels(Sample& sample) {
    ++at_;
    for (skip_blanks(); !take('}'); skip_blanks()) {
      const std::string key(word());
      skip_blanks();
      std::string value;
      if (key.empty() || !take('=')) return false;
      skip_blanks();
      if (!read_text(value)) return false;
      sample.labels[key] = std::move(value);
      skip_blanks();
      if (!take(',') && !next_is('}')) return false;
    }
    return true;
  }

  // A label's value in quotes; \\, \" and \n are escapes.
  bool read_text(std::string& out) {
    if (!take('"')) return false;
    while (at_ < line_.size() && line_[at_] != '"') {
      char c = line_[at_++];
      if (c == '\\') {
        if (at_ == line_.size()) return false;
        c = line_[at_++];
        if (c == 'n') c = '\n';
      }
      out += c;
    }
    return take('"');
  }

  static bool parse_value(std::string_view text, double& value) {
    if (text == "+Inf" || text == "Inf") {
      value = std::numeric_limits<double>::infinity();
    } else if (text == "-Inf") {
      value = -std::numeric_limits<double>::infinity();
    } else if (text == "NaN") {
      value = std::numeric_limits<double>::quiet_NaN();
    } else {
      return absl::SimpleAtod(std::string(text), &value);
    }
    return true;
  }

  std::string_view line_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<Exposition> Exposition::parse(std::string_view text) {
  if (text.size() > kBytesMax) return absl::InvalidArgumentError("metrics: longer than 32 MiB");
  Exposition out;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line[0] == '#') continue;
    if (out.samples_.size() == kSamplesMax) return absl::InvalidArgumentError("metrics: more than 1000000 samples");
    if (!LineReader(line).read(out.samples_.emplace_back())) {
      return absl::InvalidArgumentError(absl::StrCat("metrics: line ", number, " is not a sample"));
    }
  }
  return out;
}

std::vector<const Sample*> Exposition::all(std::string_view name) const {
  std::vector<const Sample*> out;
  for (const Sample& sample : samples_) {
    if (sample.name == name) out.push_back(&sample);
  }
  return out;
}

std::optional<double> Exposition::sum(std::string_view name) const {
  std::optional<double> out;
  for (const Sample* sample : all(name)) out = out.value_or(0) + sample->value;
  return out;
}

std::optional<double> Exposition::sum(std::string_view name, const std::string& key, std::string_view value) const {
  std::optional<double> out;
  for (const Sample* sample : all(name)) {
    if (sample->label(key) == value) out = out.value_or(0) + sample->value;
  }
  return out;
}

std::optional<double> Exposition::quantile(const std::string& histogram, double q) const {
  std::map<double, double> counts;  // by upper bound
  for (const Sample* sample : all(histogram + "_bucket")) {
    const std::string_view bound = sample->label("le");
    double le = std::numeric_limits<double>::infinity();
    if (bound != "+Inf" && !absl::SimpleAtod(std::string(bound), &le)) continue;
    counts[le] += sample->value;
  }
  if (counts.empty() || !(counts.rbegin()->second > 0)) return std::nullopt;
  const double wanted = q * counts.rbegin()->second;
  double below = 0, from = 0;
  for (const auto& [le, count] : counts) {
    if (count >= wanted) {
      if (std::isinf(le)) return from;
      return count > below ? from + (le - from) * (wanted - below) / (count - below) : le;
    }
    below = count;
    from = le;
  }
  return from;
}

}  // namespace polymath::commands
