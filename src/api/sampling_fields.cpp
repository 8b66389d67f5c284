#include "api/sampling_fields.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"
#include "api/status.h"
#include "base/hash.h"

namespace polymath::api {

engine::SamplingParams default_sampling(const ServedModel& model) {
  engine::SamplingParams sampling;
  sampling.temperature = model.defaults.temperature;
  sampling.top_k = model.defaults.top_k;
  sampling.top_p = model.defaults.top_p;
  sampling.min_p = model.defaults.min_p;
  sampling.repetition_penalty = model.defaults.repetition_penalty;
  sampling.presence_penalty = model.defaults.presence_penalty;
  sampling.frequency_penalty = model.defaults.frequency_penalty;
  sampling.eos_ids = model.eos_ids;
  return sampling;
}

absl::Status parse_numbers(base::JsonReader& j, std::span<const NumberRow> rows, engine::SamplingParams& sampling) {
  for (const NumberRow& row : rows) {
    if (!j.has(row.name)) continue;
    const double value = j.f(row.name);
    RETURN_IF_ERROR(name_field(j.status()));
    const bool above_min = row.min_is_open ? value > row.min : value >= row.min;
    const bool below_max = row.max_is_open ? value < row.max : value <= row.max;
    if (!above_min || !below_max) {
      return invalid(row.name, absl::StrCat("must be ", row.min_is_open ? "above " : "at least ", row.min, " and ",
                                            row.max_is_open ? "below " : "at most ", row.max, ", not ", value));
    }
    sampling.*row.field = static_cast<float>(value);
  }
  return absl::OkStatus();
}

bool promises_form(std::string_view name) {
  constexpr std::string_view kWords[] = {"grammar",  "regex",      "ebnf",      "schema",          "guided",
                                         "guidance", "structured", "constrain", "response_format", "json_mode"};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](std::string_view word) { return name.find(word) != std::string_view::npos; });
}

absl::Status parse_seed(const base::JsonReader& j, engine::SamplingParams& sampling) {
  base::random_bytes(&sampling.seed, sizeof(sampling.seed));
  const auto* seed = j.find("seed");
  if (seed == nullptr) return absl::OkStatus();
  const std::optional<int64_t> whole = base::whole_number(*seed);
  if (seed->is_uint64()) {
    sampling.seed = seed->get_uint64();
  } else if (!whole.has_value()) {
    return invalid("seed", "must be an integer of 64 bits");
  } else if (*whole != -1) {
    sampling.seed = static_cast<uint64_t>(*whole);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> parse_stop(const base::JsonReader& j, const ServedModel& model,
                                                    const ApiLimits& limits) {
  const auto* stop = j.find("stop");
  std::vector<std::string> out;
  if (stop == nullptr) return out;
  if (stop->is_string()) {
    out.emplace_back(stop->get_string());
  } else if (stop->is_array()) {
    if (stop->get_array().size() > static_cast<size_t>(limits.stop_max)) {
      return invalid("stop", absl::StrCat("at most ", limits.stop_max, " stop strings (--max-stop-strings)"));
    }
    for (const base::JsonValue& item : stop->get_array()) {
      if (!item.is_string()) return invalid("stop", "must be a string or an array of strings");
      out.emplace_back(item.get_string());
    }
  } else {
    return invalid("stop", "must be a string or an array of strings");
  }
  std::erase_if(out, [](const std::string& s) { return s.empty(); });
  for (const std::string& s : out) {
    if (s.size() > limits.stop_bytes_max) {
      return invalid("stop", absl::StrCat("a stop string of at most ", limits.stop_bytes_max, " bytes"));
    }
  }
  if (!out.empty()) RETURN_IF_ERROR(need_tokenizer(model, "stop"));
  return out;
}

}  // namespace polymath::api
