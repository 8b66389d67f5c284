// Where configs keep their rotary embedding. transformers 4 writes rope_theta, partial_rotary_factor and rope_scaling;
// 5 writes rope_parameters, flat or by layer type. Source: transformers 5.24, modeling_rope_utils.

#include <cmath>

#include "absl/strings/str_cat.h"
#include "layers/rope.h"
#include "model/arch/shared.h"

namespace polymath::model {
namespace {

struct ScalingName {
  std::string_view name;
  RopeScaling scaling;
};
// "mrope" gives each token three positions, which are one for text.
constexpr ScalingName kScalings[] = {
    {"default", RopeScaling::kNone},      {"mrope", RopeScaling::kNone},    {"linear", RopeScaling::kLinear},
    {"dynamic", RopeScaling::kDynamic},   {"llama3", RopeScaling::kLlama3}, {"yarn", RopeScaling::kYarn},
    {"longrope", RopeScaling::kLongRope}, {"su", RopeScaling::kLongRope},
};

// The object with the parameters: rope_scaling, unless it is empty, goes before rope_parameters.
base::JsonReader rope_object(base::JsonReader& j) {
  const base::JsonValue* old = j.find("rope_scaling");
  const bool use_old = old != nullptr && !(old->is_object() && old->get_object().empty());
  if (use_old) j.find("rope_parameters");  // read, and without effect
  return j.object(use_old ? "rope_scaling" : "rope_parameters");
}

void read_lengths(base::JsonReader& j, base::JsonReader& s, RopeConfig& r) {
  const int positions = j.i("max_position_embeddings", 0);
  r.original_len = s.i("original_max_position_embeddings", positions);
  // Phi-3 and its like keep it beside the parameters; there it goes first.
  r.original_len = j.i("original_max_position_embeddings", r.original_len);
  const bool may_derive = r.scaling == RopeScaling::kYarn || r.scaling == RopeScaling::kLongRope;
  const double derived = may_derive && r.original_len > 0 ? static_cast<double>(positions) / r.original_len : 0;
  r.factor = s.f("factor", derived);
  if (may_derive && !s.has("factor") && derived < 1) s.complain("factor", "missing");
}

// `all`: the parameters of every layer type, `s` itself where there is one alone. Nested, truncate counts there.
void read_yarn(base::JsonReader& all, base::JsonReader& s, RopeConfig& r) {
  const auto or_default = [](double value, double fallback) { return value == 0 ? fallback : value; };
  r.beta_fast = or_default(s.f("beta_fast", 0), 32);
  r.beta_slow = or_default(s.f("beta_slow", 0), 1);
  r.mscale = s.f("mscale", 0);
  r.mscale_all_dim = s.f("mscale_all_dim", 0);
  r.attention_factor = s.f("attention_factor", 0);
  r.truncate = all.b("truncate", true);
  if (s.has("truncate") && s.b("truncate") != r.truncate) s.complain("truncate", "is read beside the layer types");
}

void check_scaling(base::JsonReader& s, const RopeConfig& r) {
  const auto half = static_cast<size_t>(r.dims) / 2;
  if (r.scaling == RopeScaling::kLongRope && (r.short_factor.size() != half || r.long_factor.size() != half)) {
    s.complain("short_factor", absl::StrCat("longrope needs ", half, " short and long factors"));
  }
  if (r.scaling != RopeScaling::kNone && !(r.factor > 0)) s.complain("factor", "must be positive");
  if (r.scaling == RopeScaling::kLlama3 && (!s.has("low_freq_factor") || !s.has("high_freq_factor"))) {
    s.complain("low_freq_factor", "llama3 needs low_freq_factor and high_freq_factor");
  }
  const bool needs_len =
      r.scaling == RopeScaling::kLlama3 || r.scaling == RopeScaling::kYarn || r.scaling == RopeScaling::kLongRope;
  if (needs_len && r.original_len < 1) s.complain("original_max_position_embeddings", "must be positive");
}

void parse_scaling(base::JsonReader& j, base::JsonReader& s, RopeRules rules, RopeConfig& r) {
  const std::string name = s.s("rope_type", s.s("type", "default"));
  const ScalingName* found = nullptr;
  for (const auto& row : kScalings) {
    if (row.name == name) found = &row;
  }
  if (found == nullptr) return s.complain("rope_type", absl::StrCat("\"", name, "\" is not a scaling that is known"));
  r.scaling = found->scaling;
  read_lengths(j, s, r);
  base::JsonReader all = rope_object(j);
  read_yarn(all, s, r);
  r.low_freq_factor = s.f("low_freq_factor", 1);
  r.high_freq_factor = s.f("high_freq_factor", 4);
  r.short_mscale = s.f("short_mscale", 0);
  r.long_mscale = s.f("long_mscale", 0);
  r.short_factor = s.numbers("short_factor");
  r.long_factor = s.numbers("long_factor");
  for (const char* sections : {"mrope_section", "mrope_interleaved"}) s.find(sections);  // without effect on text
  const double alpha = rules.alpha ? s.f("alpha", 0) : 0;
  if (r.scaling == RopeScaling::kDynamic && alpha != 0) {
    r.theta *= std::pow(alpha, r.dims / (r.dims - 2.0));
    r.scaling = RopeScaling::kNone;
  }
  check_scaling(s, r);
}

}  // namespace

layers::QueryTemperature parse_temperature(base::JsonReader& j, const RopeConfig& rope) {
  const double beta = rope_object(j).f("llama_4_scaling_beta");
  if (beta == 0) return {};
  if (rope.original_len < 1) rope_object(j).complain("original_max_position_embeddings", "must be positive");
  return {.floor = static_cast<float>(rope.original_len), .scale = static_cast<float>(beta), .shift = 0};
}

bool has_rope_of(base::JsonReader& j, std::string_view layer_type) { return rope_object(j).has(layer_type); }

RopeConfig parse_rope(base::JsonReader& j, int head_dim, RopeRules rules, std::string_view layer_type) {
  RopeConfig r;
  base::JsonReader all = rope_object(j);
  const bool nested = has_rope_of(j, "full_attention") || has_rope_of(j, "sliding_attention");
  if (nested && !rules.by_layer_type && !j.has("layer_types")) {
    all.complain("full_attention", "there are no layer_types");
  }
  if (nested && !all.has(layer_type)) all.complain(layer_type, "missing");
  base::JsonReader s = nested ? all.object(layer_type) : all;
  if (!s.has("rope_type") && s.is_null("type")) s.complain("type", "must not be null");
  for (const char* key : {"rope_type", "rope_theta", "partial_rotary_factor", "original_max_position_embeddings"}) {
    if (s.is_null(key)) s.complain(key, "must not be null");
  }
  j.find("rope_theta");  // read, if only as the default of the other
  r.theta = s.has("rope_theta") ? s.f("rope_theta") : j.f("rope_theta");
  const double share = s.f("partial_rotary_factor", j.f("partial_rotary_factor", 1));
  if (!(share > 0 && share <= 1)) return s.complain("partial_rotary_factor", "must be above 0, and 1 at most"), r;
  if (share != 1 && !rules.share) s.complain("partial_rotary_factor", "this architecture rotates whole heads");
  r.dims = static_cast<int>(head_dim * share);
  parse_scaling(j, s, rules, r);
  if (!(r.theta > 1) || r.theta > 1e12) j.complain("rope_theta", "must be above 1");
  return r;
}

}  // namespace polymath::model
