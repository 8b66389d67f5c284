// config.json as the world writes it. Each conformance model runs with one key dropped, made null, renamed or moved.
// Polymath computes the logits of transformers (tools/make_config_mutations.py), or refuses the config.
// data/config_keys.txt lists what becomes of every key.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "model/architecture.h"
#include "model/loading/load.h"
#include "runner.h"

namespace polymath::conformance {
namespace {

using base::JsonObject;
using base::JsonValue;

constexpr float kTolerance = 1e-3f;

std::string data(const std::string& name) { return model_directory("../" + name); }

// Models of Mistral's own format have none.
std::vector<std::string> models_with_config() {
  std::vector<std::string> names = model_names();
  std::erase_if(names, [](const auto& n) { return !std::filesystem::exists(model_directory(n) + "/config.json"); });
  return names;
}

JsonObject config_of(const std::string& model) {
  return base::read_json_file(model_directory(model) + "/config.json", {})->get_object();
}

// A multimodal model's text part; null: the config is the text's.
const JsonObject* text_of(const JsonObject& config) {
  if (const auto* thinker = config.if_contains("thinker_config")) return text_of(thinker->get_object());
  const auto* text = config.if_contains("text_config");
  return text != nullptr ? &text->get_object() : nullptr;
}

int vocab_of(const JsonObject& config) {
  const JsonObject* text = text_of(config);
  return static_cast<int>((text != nullptr ? *text : config).at("vocab_size").as_int64());
}

// Moves one key as `kind` says. The tool has the same.
JsonObject mutate(JsonObject config, const std::string& kind, const std::string& path) {
  const std::vector<std::string> parts = absl::StrSplit(path, '.');
  JsonObject& place = parts.size() > 1 ? config.at(parts[0]).get_object() : config;
  const std::string key = parts.back();
  const JsonValue value = place.at(key);
  if (kind == "null") {
    place[key] = nullptr;
    return config;
  }
  place.erase(key);
  if (kind == "rename") place[key + "_x"] = value;
  if (kind.starts_with("as:")) place[kind.substr(3)] = value;
  if (kind == "nest") config["rope_parameters"].get_object()[key] = value;
  if (kind == "lift") config[key] = value;
  if (kind == "old") config["rope_scaling"] = value;
  if (kind == "split") {
    JsonObject scaling = value.get_object();
    for (const char* part : {"rope_theta", "partial_rotary_factor"}) {
      if (!scaling.contains(part)) continue;
      config[part] = scaling.at(part);
      scaling.erase(part);
    }
    config["rope_scaling"] = scaling;
  }
  if (kind == "by_type") {
    config["rope_parameters"] = JsonObject{{"full_attention", value}, {"sliding_attention", value}};
  }
  return config;
}

// The last row's logits of a prompt.
absl::StatusOr<std::vector<float>> run(const std::string& model, const JsonObject& config, const Reference& r) {
  ASSIGN_OR_RETURN(model::ModelConfig parsed, model::parse_config(config));
  ASSIGN_OR_RETURN(const auto checkpoint, weights::open_checkpoint(model_directory(model), {}));
  RETURN_IF_ERROR(model::untie_stored_head(*checkpoint, parsed));
  ASSIGN_OR_RETURN(const auto runner, Runner::create(parsed, *checkpoint, {.backend = "cpu", .threads = 1}));
  Runner::Sequence sequence{r.ids};
  ASSIGN_OR_RETURN(const auto logits, runner->step({&sequence}, 0));
  return std::vector<float>(logits.end() - runner->vocab(), logits.end());
}

bool close(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) < kTolerance)) return false;
  }
  return true;
}

// Recorded are [argmax, five logits], "same" or "error".
bool as_recorded(const std::vector<float>& got, const std::vector<float>& unchanged, const JsonValue& recorded) {
  if (recorded.is_string()) return close(got, unchanged);  // after an error, too
  const auto& row = recorded.get_array();
  for (size_t i = 0; i + 1 < row.size(); ++i) {
    const size_t at = i * (got.size() - 1) / (row.size() - 2);
    if (!(std::abs(got[at] - row[i + 1].to_number<float>()) < kTolerance)) return false;
  }
  return true;
}

// A key may be absent, and may have another of its names. DBRX has two thetas, so one must not be absent.
bool must_run(const std::string& model, const std::string& kind, const std::string& key) {
  const bool known = kind == "drop" || kind == "old" || kind == "split" || kind.starts_with("as:");
  return known && !(model == "dbrx" && key == "rope_parameters");
}

class Mutations : public testing::TestWithParam<std::string> {};

TEST_P(Mutations, AreEqualOrRefused) {
  const auto all = base::read_json_file(data("config_mutations.json"), {});
  ASSERT_TRUE(all.ok()) << all.status();
  const std::string model = GetParam();
  const JsonObject config = config_of(model);
  const Reference r = read_references(model, vocab_of(config))->at(2);
  const auto unchanged = run(model, config, r);
  ASSERT_TRUE(unchanged.ok()) << unchanged.status();
  for (const auto& [key, kinds] : all->at(model).get_object()) {
    if (key == "edits") continue;
    for (const auto& [kind, recorded] : kinds.get_object()) {
      if (kind == "drop" && key.ends_with(".factor")) continue;  // derived: transformers would not
      const auto got = run(model, mutate(config, std::string(kind), std::string(key)), r);
      EXPECT_TRUE(got.ok() || !must_run(model, std::string(kind), std::string(key)) || recorded != "same")
          << std::string(kind) << " " << std::string(key) << ": " << got.status();
      EXPECT_TRUE(!got.ok() || as_recorded(*got, *unchanged, recorded))
          << std::string(kind) << " " << std::string(key) << ": transformers has " << base::to_text(recorded);
    }
  }
}

// Forms that published configs have. What is not built is refused.
TEST_P(Mutations, EditsAreEqualOrRefused) {
  const auto all = base::read_json_file(data("config_mutations.json"), {});
  ASSERT_TRUE(all.ok()) << all.status();
  const std::string model = GetParam();
  const auto* edits = all->at(model).get_object().if_contains("edits");
  if (edits == nullptr) GTEST_SKIP() << "none of this model";
  const JsonObject config = config_of(model);
  const Reference r = read_references(model, vocab_of(config))->at(2);
  const auto unchanged = run(model, config, r);
  ASSERT_TRUE(unchanged.ok()) << unchanged.status();
  for (const JsonValue& edit : edits->get_array()) {
    JsonObject edited = config;
    model::override_keys(edited, edit.at(0).get_object());
    const auto got = run(model, edited, r);
    const bool not_built = absl::IsUnimplemented(got.status()) || absl::IsInvalidArgument(got.status());
    EXPECT_TRUE(got.ok() ? as_recorded(*got, *unchanged, edit.at(1)) : not_built)
        << base::to_text(edit) << ": " << got.status();
    if (!got.ok()) std::cout << model << " " << base::to_text(edit.at(0)) << ": " << got.status().message() << "\n";
  }
}

std::vector<std::string> recorded_models() {
  std::vector<std::string> names;
  const auto all = base::read_json_file(data("config_mutations.json"), {});
  if (!all.ok()) return names;
  for (const auto& member : all->get_object()) names.emplace_back(member.key());
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, Mutations, testing::ValuesIn(recorded_models()), [](const auto& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

void add_line(std::string& out, std::string_view title, const std::vector<std::string>& words) {
  if (!words.empty()) absl::StrAppend(&out, std::string(title), ": ", absl::StrJoin(words, " "), "\n");
}

// What `parse` asks for, with each conformance config.
std::vector<std::string> keys_read(const model::Architecture& architecture) {
  std::set<std::string> keys;
  std::vector<JsonObject> configs = {{}};
  for (const std::string& name : models_with_config()) {
    const JsonObject config = config_of(name);
    const auto parsed = model::parse_config(config);
    EXPECT_TRUE(parsed.ok()) << name << ": " << parsed.status();
    if (!parsed.ok() || model::find_architecture(parsed->architecture) != &architecture) continue;
    const JsonObject* text = text_of(config);
    configs.push_back(text != nullptr ? *text : config);
  }
  for (const JsonObject& config : configs) {
    const base::JsonValue regular(*model::regular_config(config, architecture.keys));
    base::JsonReader j(regular);
    j.read_as_config();
    architecture.parse(j);
    for (const std::string& key : j.asked()) keys.insert(key);
  }
  return {keys.begin(), keys.end()};
}

std::string describe(const model::Architecture& architecture) {
  const model::ConfigKeys& keys = architecture.keys;
  std::string out = "\n";
  add_line(out, "architecture", {architecture.names.begin(), architecture.names.end()});
  add_line(out, "model_type", {keys.model_types.begin(), keys.model_types.end()});
  add_line(out, "read", keys_read(architecture));
  std::vector<std::string> aliases, fixed;
  for (const auto& alias : keys.aliases) {
    aliases.push_back(absl::StrCat(std::string(alias.alias), "=", std::string(alias.key)));
  }
  const JsonValue fixed_values = *base::parse_json(keys.fixed, {});
  for (const auto& [key, value] : fixed_values.get_object()) {
    fixed.push_back(absl::StrCat(std::string(key), "=", base::to_text(value)));
  }
  add_line(out, "other names", aliases);
  add_line(out, "only", fixed);
  add_line(out, "harmless", {keys.harmless.begin(), keys.harmless.end()});
  return out;
}

// POLYMATH_UPDATE=1 rewrites the file.
TEST(Keys, OfEveryArchitectureAreListed) {
  std::string text;
  add_line(text, "of every architecture",
           {"architectures", "model_type", "dtype", "torch_dtype", "hidden_act", "bos_token_id", "eos_token_id"});
  add_line(text, "harmless everywhere", model::keys_harmless_everywhere());
  for (const model::Architecture* architecture : model::architectures()) text += describe(*architecture);
  const std::string path = data("config_keys.txt");
  if (std::getenv("POLYMATH_UPDATE") != nullptr) std::ofstream(path) << text;
  std::ifstream in(path);
  const std::string listed((std::istreambuf_iterator<char>(in)), {});
  EXPECT_EQ(listed, text);
}

// At the top, and inside of each object.
TEST(Keys, OthersAreRefused) {
  for (const std::string& name : models_with_config()) {
    const JsonObject config = config_of(name);
    std::vector<std::string> objects = {""};
    for (const auto& [key, value] : config) {
      if (value.is_object()) objects.push_back(std::string(key) + ".");
    }
    for (const std::string& object : objects) {
      JsonObject changed = config;
      JsonObject& place = object.empty() ? changed : changed.at(object.substr(0, object.size() - 1)).get_object();
      place["use_a_new_kind"] = 0.5;
      const auto got = model::parse_config(changed);
      // Of other parts than the text nothing is asked; of the text part the path begins inside.
      if (object != "text_config." && object.ends_with("_config.") && text_of(config) != nullptr) continue;
      const std::string path = object == "text_config." ? "" : object;
      EXPECT_EQ(got.status().code(), absl::StatusCode::kUnimplemented) << name << " " << object;
      EXPECT_NE(got.status().message().find("config.json: " + path + "use_a_new_kind: this key is not known"),
                absl::string_view::npos)
          << got.status();
    }
  }
}

// Checkpoints from elsewhere, with reference.json beside.
TEST(Cases, AgreeWithTheirReferences) {
  const char* directory = std::getenv("POLYMATH_CHECKPOINT_CASES");
  if (directory == nullptr) GTEST_SKIP() << "POLYMATH_CHECKPOINT_CASES names none";
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const auto cases = base::read_json_file(entry.path().string() + "/reference.json", {});
    if (!cases.ok()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    auto runner = Runner::create(entry.path(), {.backend = "cpu", .threads = 1});
    if (std::filesystem::exists(entry.path() / "hf_quant_config.json")) {
      EXPECT_NE(runner.status().message().find("quantised by modelopt"), absl::string_view::npos) << runner.status();
      continue;
    }
    EXPECT_TRUE(runner.ok()) << runner.status();
    if (!runner.ok()) continue;
    for (const auto& c : cases->get_array()) {
      base::JsonReader j(c);
      Runner::Sequence sequence{j.ints("ids")};
      const auto greedy = j.ints("greedy");
      const auto margin = j.numbers("margin");
      for (size_t n = 0; n < greedy.size(); ++n) {
        const auto rows = (*runner)->step({&sequence}, 0);
        ASSERT_TRUE(rows.ok()) << rows.status();
        const auto row = rows->end() - (*runner)->vocab();
        const int token = static_cast<int>(std::max_element(row, rows->end()) - row);
        if (margin[n] < kTolerance) break;
        EXPECT_EQ(token, greedy[n]) << "step " << n;
        if (token != greedy[n]) break;
        sequence.tokens.push_back(token);
      }
    }
  }
}

}  // namespace
}  // namespace polymath::conformance
