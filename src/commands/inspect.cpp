// polymath inspect MODEL: what a model is and what it needs, from headers alone.

#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/json.h"
#include "commands/flags/flag_values.h"
#include "commands/flags/flags.h"
#include "commands/model_text.h"
#include "commands/quantization.h"
#include "commands/verbs.h"
#include "model/memory.h"
#include "plan/model_facts.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "weights/checkpoint.h"

namespace polymath::commands {
namespace {

boost::json::string json_text(std::string_view text) { return boost::json::string(text.data(), text.size()); }

std::string ffn_text(const model::LayerConfig& layer) {
  std::string out;
  for (const model::FfnConfig& f : layer.ffns) {
    absl::StrAppend(&out, out.empty() ? "" : " + ");
    if (f.routing.empty()) {
      absl::StrAppend(&out, f.role, " of ", f.intermediate);
    } else {
      absl::StrAppend(&out, f.router.n_experts, " experts of ", f.intermediate, ", top ", f.router.top_k, " (",
                      f.routing, ")");
    }
  }
  return out;
}

// One row for each run of equal layers.
base::JsonArray layer_rows(const model::ModelConfig& config) {
  base::JsonArray rows;
  size_t begin = 0;
  const auto describe = [](const model::LayerConfig& l) { return std::pair(layers::text(l.attention), ffn_text(l)); };
  for (size_t i = 1; i <= config.layers.size(); ++i) {
    if (i < config.layers.size() && describe(config.layers[i]) == describe(config.layers[begin])) continue;
    const auto [attention, ffn] = describe(config.layers[begin]);
    rows.push_back(base::JsonObject{
        {"first", begin}, {"last", i - 1}, {"attention", json_text(attention)}, {"feed_forward", json_text(ffn)}});
    begin = i;
  }
  return rows;
}

double two_digits(double value) { return std::round(value * 100) / 100; }

base::JsonObject tensors_of(const weights::Checkpoint& checkpoint) {
  std::map<std::string, int64_t> bytes;
  std::set<std::string> files;
  double matrix_bits = 0, matrix_values = 0;
  for (const weights::TensorInfo& t : checkpoint.tensors()) {
    const std::string_view type = t.format != nullptr ? t.format->name : tensor::dtype_name(t.dtype);
    bytes[t.scheme.empty() ? std::string(type) : t.scheme] += static_cast<int64_t>(t.bytes);
    files.insert(t.file);
    if (t.format == nullptr || t.shape.rank() < 2) continue;
    matrix_bits += 8.0 * static_cast<double>(t.bytes);
    matrix_values += static_cast<double>(t.shape.elements());
  }
  base::JsonObject by_type;
  for (const auto& [name, n] : bytes) by_type[name] = n;
  base::JsonObject out{
      {"tensors", checkpoint.tensors().size()}, {"files", files.size()}, {"bytes_by_type", std::move(by_type)}};
  if (matrix_values > 0) out["bits_per_weight"] = two_digits(matrix_bits / matrix_values);
  return out;
}

std::string tokenizer_text(const weights::TokenizerSource& source) {
  auto tokenizer = load_tokenizer_of(source);
  if (absl::IsNotFound(tokenizer.status())) return "none";
  if (!tokenizer.ok()) return absl::StrCat("not readable: ", tokenizer.status().message());
  return absl::StrCat((*tokenizer)->vocab_size(), " entries");
}

// "yes", with the names of several: "yes: default, tool_use".
std::string template_text(const weights::TokenizerSource& source) {
  const auto templates = chat_templates_of(source);
  if (absl::IsNotFound(templates.status())) return "none";
  if (!templates.ok()) return absl::StrCat("not readable: ", templates.status().message());
  for (const text::NamedTemplate& named : *templates) {
    const auto parsed = text::ChatTemplate::parse(named.source, {});
    if (!parsed.ok()) return absl::StrCat("not understood: ", named.name, ": ", parsed.status().message());
  }
  if (templates->size() == 1) return "yes";
  const auto add_name = [](std::string* out, const text::NamedTemplate& named) { *out += named.name; };
  return absl::StrCat("yes: ", absl::StrJoin(*templates, ", ", add_name));
}

// {"q4_k": {"bytes": 1234, "bits_per_weight": 4.5}}
base::JsonObject matrices(const std::map<std::string, model::RankMemory::Matrices>& by_name) {
  base::JsonObject out;
  for (const auto& [name, m] : by_name) {
    out[name] = base::JsonObject{{"bytes", m.bytes}, {"bits_per_weight", two_digits(m.bits / m.values)}};
  }
  return out;
}

// Weights as the chosen device would keep them, and what the checkpoint holds.
absl::Status add_weights(const RuntimeOptions& options, const weights::ModelFiles& files, model::ModelConfig config,
                         base::JsonObject& out) {
  auto checkpoint = files.open_checkpoint();
  if (!checkpoint.ok() && !absl::IsNotFound(checkpoint.status())) return checkpoint.status();
  if (checkpoint.ok()) RETURN_IF_ERROR(model::untie_stored_head(**checkpoint, config));
  const auto unread = weights::dummy_checkpoint(0, config.dtype);
  ASSIGN_OR_RETURN(const auto backend, backend::make_backend(options.backend, {.threads = 1, .isa = options.isa}));
  const model::LoadOptions load{.dtype = config.dtype};
  ASSIGN_OR_RETURN(
      const auto memory,
      model::RankMemory::measure({config, checkpoint.ok() ? **checkpoint : *unread, load}, *backend, /*rank=*/{}));
  out["weight_bytes_in_memory"] = memory.weights();
  out["matrices_by_format"] = matrices(memory.by_format());
  out["matrices_by_use"] = matrices(memory.by_use());
  out["checkpoint"] = checkpoint.ok() ? tensors_of(**checkpoint) : base::JsonObject{{"tensors", 0}};
  return absl::OkStatus();
}

absl::StatusOr<base::JsonObject> inspect_model(const Options& options) {
  ASSIGN_OR_RETURN(const std::string path, weights::resolve_model(options.model.name, options.model.revision));
  ASSIGN_OR_RETURN(const auto files, weights::open_model_files(path, options.model.gguf));
  ASSIGN_OR_RETURN(const model::ModelConfig config, model::read_config(*files, options.model.hf_overrides));
  const plan::ModelFacts facts = plan::model_facts(config);
  base::JsonObject out;
  out["directory"] = json_text(path);
  out["architecture"] = json_text(config.architecture);
  if (!config.left_out.empty()) out["left_out"] = json_text(config.left_out);
  out["type"] = json_text(tensor::dtype_name(config.dtype));
  ASSIGN_OR_RETURN(const std::string scheme, scheme_of(*files));
  if (!scheme.empty()) out["quantization"] = json_text(scheme);
  out["hidden"] = config.hidden;
  out["vocabulary"] = config.vocab;
  out["context"] = config.positions_max;
  out["layers"] = config.layers.size();
  out["moe_layers"] = facts.moe_layers;
  out["layer_kinds"] = layer_rows(config);
  out["parameters"] = facts.parameters;
  out["active_parameters"] = facts.active_parameters;
  out["kv_bytes_per_token"] = facts.kv_elements_per_token * (config.dtype == tensor::DType::kBf16 ? 2 : 4);
  RETURN_IF_ERROR(add_weights(options.runtime, *files, config, out));
  const weights::TokenizerSource source = files->tokenizer_source();
  out["tokenizer"] = json_text(tokenizer_text(source));
  out["chat_template"] = json_text(template_text(source));
  return out;
}

std::string value_text(const std::string& key, const base::JsonValue& value) {
  if (value.is_string()) return std::string(value.get_string());
  if (key.find("bytes") != std::string::npos && value.is_int64()) {
    return bytes_text(static_cast<double>(value.get_int64()));
  }
  return base::to_text(value);
}

void print_text(const base::JsonObject& facts) {
  for (const auto& member : facts) {
    const std::string key(member.key());
    if (key == "layer_kinds") {
      for (const base::JsonValue& row : member.value().get_array()) {
        const base::JsonObject& r = row.get_object();
        std::printf("  layers %s-%s: %s; %s\n", base::to_text(r.at("first")).c_str(),
                    base::to_text(r.at("last")).c_str(), r.at("attention").get_string().c_str(),
                    r.at("feed_forward").get_string().c_str());
      }
      continue;
    }
    std::printf("%-24s %s\n", key.c_str(), value_text(key, member.value()).c_str());
  }
}

}  // namespace

int inspect(const Arguments& arguments) {
  const auto options = parse_flags(kInspect, arguments);
  if (!options.ok()) return fail_flags(options.status());
  const auto facts = inspect_model(*options);
  if (!facts.ok()) return fail(facts.status());
  if (options->inspect.json) {
    std::printf("%s\n", base::to_text(*facts).c_str());
  } else {
    print_text(*facts);
  }
  return 0;
}

}  // namespace polymath::commands
