#include "commands/plan/planned_model.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "commands/quantization.h"
#include "model/config_keys.h"
#include "model/loading/load.h"
#include "plan/known_models.h"
#include "weights/schemes/scheme.h"

namespace polymath::commands {
namespace {

constexpr size_t kConfigBytesMax = 16 << 20;  // a longer config.json: refused

// What --weights says goes first; then the config's scheme; then the known model's.
absl::Status settle_stored(const PlanOptions& options, std::string_view otherwise, PlannedModel& model) {
  model.stored = options.weights.empty() ? std::string(otherwise) : options.weights;
  auto stored = plan::stored_as(model.stored);
  if (!stored.ok()) {
    return absl::Status(stored.status().code(),
                        absl::StrCat(stored.status().message(), "; --weights says how they are kept"));
  }
  model.stored_as = *std::move(stored);
  return absl::OkStatus();
}

absl::Status open_known(const plan::KnownModel& known, const Options& options, PlannedModel& model) {
  model.title = std::string(known.name);
  model.source = "known model";
  ASSIGN_OR_RETURN(model.config, plan::known_config(known.name));
  return settle_stored(options.plan, known.stored, model);
}

absl::Status open_config(const std::string& path, const Options& options, PlannedModel& model) {
  model.source = "config.json";
  ASSIGN_OR_RETURN(base::JsonValue json, base::read_json_file(path, {.bytes_max = kConfigBytesMax}));
  if (!json.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": not a JSON object"));
  model::override_keys(json.get_object(), options.model.hf_overrides);
  std::string scheme;
  if (const base::JsonValue* found = weights::find_quantization(json.get_object()); found != nullptr) {
    ASSIGN_OR_RETURN(const weights::Scheme parsed, weights::parse_scheme(*found));
    scheme = parsed.method;
  }
  ASSIGN_OR_RETURN(model.config, model::parse_config(json));
  return settle_stored(options.plan, scheme, model);
}

absl::Status open_files(const std::string& path, const Options& options, PlannedModel& model) {
  ASSIGN_OR_RETURN(model.files, weights::open_model_files(path, options.model.gguf));
  ASSIGN_OR_RETURN(model.config, model::read_config(*model.files, options.model.hf_overrides));
  ASSIGN_OR_RETURN(const std::string scheme, scheme_of(*model.files));
  auto checkpoint = model.files->open_checkpoint();
  if (!checkpoint.ok() && !absl::IsNotFound(checkpoint.status())) return checkpoint.status();
  if (!checkpoint.ok()) {
    model.source = "config.json";
    return settle_stored(options.plan, scheme, model);
  }
  model.checkpoint = *std::move(checkpoint);
  model.source = "safetensors or GGUF headers";
  if (!scheme.empty() && !options.plan.weights.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--weights ", options.plan.weights, ": the checkpoint is quantised already, by ", scheme));
  }
  RETURN_IF_ERROR(model::untie_stored_head(*model.checkpoint, model.config));
  if (!options.plan.weights.empty()) return settle_stored(options.plan, "", model);
  return absl::OkStatus();
}

absl::Status open_any(const std::string& name, const Options& options, PlannedModel& model) {
  std::error_code none;
  const bool is_file = std::filesystem::is_regular_file(name, none);
  if (is_file && name.ends_with(".json")) return open_config(name, options, model);
  const auto path = weights::resolve_model(name, options.model.revision);
  if (path.ok()) {
    model.on_disk = true;
    return open_files(*path, options, model);
  }
  const plan::KnownModel* known = plan::find_known_model(name);
  if (known != nullptr) return open_known(*known, options, model);
  return absl::Status(path.status().code(),
                      absl::StrCat(path.status().message(), "\n", plan::known_config(name).status().message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PlannedModel>> open_planned_model(const std::string& name, const Options& options) {
  auto model = std::make_unique<PlannedModel>();
  model->name = model->title = name;
  RETURN_IF_ERROR(open_any(name, options, *model));
  if (model->checkpoint == nullptr) model->checkpoint = weights::dummy_checkpoint(0, model->config.dtype);
  model->facts = plan::model_facts(model->config);
  return model;
}

}  // namespace polymath::commands
