// polymath migrate FILE [--image IMAGE]: a TGI or vLLM Deployment as one of ours; what changed goes to stderr.

#include "commands/deploy/migrate.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/line_writer.h"
#include "base/read_file.h"
#include "commands/deploy/check/objects.h"
#include "commands/deploy/yaml/yaml.h"
#include "commands/flags/flags.h"
#include "commands/tgi/launcher.h"
#include "commands/verbs.h"

namespace polymath::commands {
namespace {

using base::JsonArray;
using base::JsonObject;
using base::JsonValue;
using Words = std::vector<std::string>;

constexpr const char* kImage = "polymath:0.1.0-cuda";
constexpr const char* kCachePath = "/models";
constexpr int kUser = 65532;          // of the images
constexpr int64_t kGraceBeyond = 15;  // after a drain the process ends within 10 s
constexpr int64_t kStartupLeast = 600;

enum class Engine { kNone, kTgi, kVllm };

Engine engine_of(const JsonValue& container) {
  const std::string image = text_at(container, "image");
  if (image.find("text-generation-inference") != std::string::npos) return Engine::kTgi;
  return image.find("vllm") != std::string::npos ? Engine::kVllm : Engine::kNone;
}

// Plain values of the container's environment; `left` keeps the rest.
std::map<std::string, std::string> take_environment(JsonObject& container, JsonArray& left) {
  std::map<std::string, std::string> out;
  const JsonValue copy = container;
  for (const JsonValue* row : list_at(copy, "env")) {
    if (value_at(*row, "valueFrom") != nullptr) {
      left.push_back(*row);
    } else {
      out[text_at(*row, "name")] = text_at(*row, "value");
    }
  }
  return out;
}

// vLLM's words without the program, and the model as an argument.
Words vllm_words(const JsonValue& container) {
  Words words = words_of(container);
  while (!words.empty() && !words.front().starts_with('-')) {  // vllm serve MODEL, python3 -m vllm.entrypoints...
    const bool is_model = words.front().find('/') != std::string::npos && words.front().front() != '/';
    if (is_model) break;
    words.erase(words.begin());
  }
  if (words.size() > 1 && words[0] == "-m") words.erase(words.begin(), words.begin() + 2);
  return words;
}

class Migration {
 public:
  explicit Migration(std::string image) : image_(std::move(image)) {}

  absl::Status object(JsonValue& value) {
    const std::string title = absl::StrCat(text_at(value, "kind"), "/", text_at(value, "metadata.name"));
    if (!value.is_object() || text_at(value, "kind") != "Deployment") return absl::OkStatus();
    JsonValue* const pod = find(value, {"spec", "template", "spec"});
    if (pod == nullptr || !pod->is_object()) return absl::OkStatus();
    JsonValue* const containers = pod->get_object().if_contains("containers");
    if (containers == nullptr || !containers->is_array()) return absl::OkStatus();
    for (JsonValue& one : containers->get_array()) {
      const Engine engine = engine_of(one);
      if (engine == Engine::kNone || !one.is_object()) continue;
      change(absl::StrCat(title, ": ", engine == Engine::kTgi ? "TGI" : "vLLM", " becomes Polymath"));
      RETURN_IF_ERROR(container(one.get_object(), engine));
      this->pod(pod->get_object());
    }
    return absl::OkStatus();
  }

  Migrated out;

 private:
  static JsonValue* find(JsonValue& value, std::initializer_list<const char*> path) {
    JsonValue* at = &value;
    for (const char* name : path) {
      if (at == nullptr || !at->is_object()) return nullptr;
      at = at->get_object().if_contains(name);
    }
    return at;
  }

  void change(std::string what) { out.changes.push_back(std::move(what)); }

  absl::Status container(JsonObject& container, Engine engine) {
    JsonArray left;
    const auto environment = take_environment(container, left);
    ASSIGN_OR_RETURN(Words words, engine == Engine::kTgi ? of_tgi(JsonValue(container), environment)
                                                         : of_vllm(JsonValue(container), environment));
    const std::string port = port_of(JsonValue(container));
    if (flag_value(words, {"--port"}).empty() || engine == Engine::kTgi) replace(words, "--port", port);
    for (const auto& [flag, value] : {std::pair("--drain-delay", "15"), {"--shutdown-timeout", "120"}}) {
      if (flag_value(words, {flag}).empty()) words.insert(words.end(), {flag, value});
    }
    if (flag_value(words, {"--api-key-file", "--api-key"}).empty() && !environment.contains("VLLM_API_KEY")) {
      words.emplace_back("--allow-anonymous");
      change("  without API keys, as before: --allow-anonymous; --api-key-file closes it");
    }
    ASSIGN_OR_RETURN(const Options options, parse_flags(kServe, words));
    grace_ = static_cast<int64_t>(options.server.drain_delay_s + options.server.shutdown_timeout_s) + kGraceBeyond;
    out.serve.push_back(words);
    write(container, words, std::move(left), environment);
    return absl::OkStatus();
  }

  void write(JsonObject& container, const Words& words, JsonArray left,
             const std::map<std::string, std::string>& environment) {
    change(absl::StrCat("  image ", text_at(JsonValue(container), "image"), " -> ", image_));
    container["image"] = image_;
    container.erase("command");
    JsonArray arguments{"serve"};
    for (const std::string& word : words) arguments.emplace_back(word);
    container["args"] = std::move(arguments);
    const std::string cache = move_cache(container);
    if (!cache.empty()) left.push_back(JsonObject{{"name", "HF_HOME"}, {"value", cache}});
    if (environment.contains("VLLM_API_KEY")) {
      left.push_back(JsonObject{{"name", "VLLM_API_KEY"}, {"value", environment.at("VLLM_API_KEY")}});
    }
    container["env"] = std::move(left);
    probes(container);
    container["securityContext"] = {{"allowPrivilegeEscalation", false},
                                    {"readOnlyRootFilesystem", true},
                                    {"capabilities", {{"drop", JsonArray{"ALL"}}}}};
  }

  absl::StatusOr<Words> of_tgi(const JsonValue& container, const std::map<std::string, std::string>& environment) {
    Words words = words_of(container);
    while (!words.empty() && !words.front().starts_with('-')) words.erase(words.begin());
    ASSIGN_OR_RETURN(LauncherPlan plan, plan_launch(words, [&](std::string_view name) -> std::optional<std::string> {
                       const auto at = environment.find(std::string(name));
                       if (at == environment.end() || name == "HF_TOKEN") return std::nullopt;
                       return at->second;
                     }));
    for (const std::string& line : plan.lines) change("  " + line);
    for (const auto& [name, value] : environment) {
      const auto rows = launcher_rows();
      const bool known =
          std::any_of(rows.begin(), rows.end(), [&name = name](const LauncherRow& row) { return row.name == name; });
      if (!known) change(absl::StrCat("  ", name, " has no effect and is left out"));
    }
    return plan.arguments;
  }

  absl::StatusOr<Words> of_vllm(const JsonValue& container, const std::map<std::string, std::string>& environment) {
    for (const auto& [name, value] : environment) {
      if (name != "VLLM_API_KEY") change(absl::StrCat("  ", name, " has no effect and is left out"));
    }
    Words words = vllm_words(container), kept;
    for (size_t i = 0; i < words.size();) {
      size_t n = 1;
      while (i + n < words.size() && !words[i + n].starts_with("--")) ++n;
      Words with_model = flag_value(words, {"--model"}).empty() ? Words{"a/b"} : Words{"--model", "a/b"};
      const Words piece(words.begin() + static_cast<std::ptrdiff_t>(i),
                        words.begin() + static_cast<std::ptrdiff_t>(i + n));
      const bool names_model = piece[0] == "--model" || !piece[0].starts_with('-');
      if (!names_model) with_model.insert(with_model.end(), piece.begin(), piece.end());
      const auto parsed = parse_flags(kServe, with_model);
      if (!parsed.ok() && !absl::IsUnimplemented(parsed.status())) return parsed.status();
      if (parsed.ok()) {
        for (const std::string& warning : parsed->warnings) change("  " + warning);
        kept.insert(kept.end(), piece.begin(), piece.end());
      } else {
        change(absl::StrCat("  left out: ", parsed.status().message()));
      }
      i += n;
    }
    change("  the other flags are kept: they are vLLM's");
    return kept;
  }

  static std::string port_of(const JsonValue& container) {
    const auto ports = list_at(container, "ports");
    return ports.empty() ? "8000" : text_at(*ports.front(), "containerPort");
  }

  static void replace(Words& words, const std::string& flag, const std::string& value) {
    for (auto at = words.begin(); at != words.end();) {
      at = *at == flag && at + 1 != words.end() ? words.erase(at, at + 2) : at + 1;
    }
    words.insert(words.end(), {flag, value});
  }

  // The cache's mount goes to a path of our own, read-only; empty: there is none.
  std::string move_cache(JsonObject& container) {
    JsonValue* const mounts = container.if_contains("volumeMounts");
    if (mounts == nullptr || !mounts->is_array()) return "";
    for (JsonValue& mount : mounts->get_array()) {
      const std::string path = text_at(mount, "mountPath");
      if (path.find("huggingface") == std::string::npos && path != "/data") continue;
      change(absl::StrCat("  the model cache is mounted at ", kCachePath, " instead of ", path, ", read-only"));
      if (path == "/data")
        change("  TGI kept its models in /data itself: fill hub/ of the volume, or set HF_HUB_CACHE");
      mount.get_object()["mountPath"] = kCachePath;
      mount.get_object()["readOnly"] = true;
      return kCachePath;
    }
    return "";
  }

  void probes(JsonObject& container) {
    const JsonValue old(container);
    int64_t window = kStartupLeast;
    for (const char* name : {"startupProbe", "livenessProbe"}) {
      const JsonValue* probe = value_at(old, name);
      if (probe == nullptr) continue;
      window = std::max(window, 2 * number_at(*probe, "initialDelaySeconds", 0));
      window = std::max(window, number_at(*probe, "periodSeconds", 10) * number_at(*probe, "failureThreshold", 3));
    }
    const std::string port = port_of(old);
    const auto probe = [&](const char* path, int period, int64_t failures) {
      return JsonObject{{"httpGet", {{"path", path}, {"port", std::stoi(port)}}},
                        {"periodSeconds", period},
                        {"timeoutSeconds", 5},
                        {"failureThreshold", failures}};
    };
    container["startupProbe"] = probe("/ready", 10, (window + 9) / 10);
    container["readinessProbe"] = probe("/ready", 5, 2);
    container["livenessProbe"] = probe("/health", 10, 6);
    change(absl::StrCat("  probes: /ready for start and traffic, /health for life; the start may take ", window, " s"));
  }

  void pod(JsonObject& pod) {
    const int64_t old = number_at(JsonValue(pod), "terminationGracePeriodSeconds", 30);
    if (old < grace_) change(absl::StrCat("  terminationGracePeriodSeconds ", old, " -> ", grace_, ": a drain fits"));
    pod["terminationGracePeriodSeconds"] = std::max(old, grace_);
    pod["automountServiceAccountToken"] = false;
    pod["securityContext"] = {{"runAsNonRoot", true},
                              {"runAsUser", kUser},
                              {"runAsGroup", kUser},
                              {"fsGroup", kUser},
                              {"seccompProfile", {{"type", "RuntimeDefault"}}}};
    change("  the pod runs without rights, with a read-only root");
  }

  std::string image_;
  int64_t grace_ = 30;
};

}  // namespace

absl::StatusOr<Migrated> migrate_manifests(std::string_view text, const std::string& image) {
  ASSIGN_OR_RETURN(std::vector<JsonValue> documents, parse_yaml(text));
  Migration migration(image);
  for (JsonValue& document : documents) RETURN_IF_ERROR(migration.object(document));
  if (migration.out.serve.empty()) {
    return absl::InvalidArgumentError("there is no Deployment with an image of TGI or vLLM");
  }
  for (size_t i = 0; i < documents.size(); ++i) {
    absl::StrAppend(&migration.out.yaml, i > 0 ? "---\n" : "", to_yaml(documents[i]));
  }
  return std::move(migration.out);
}

int migrate(const Arguments& arguments) {
  Arguments rest = arguments;
  std::string image = kImage;
  if (const auto at = std::find(rest.begin(), rest.end(), "--image"); at != rest.end() && at + 1 != rest.end()) {
    image = at[1];
    rest.erase(at, at + 2);
  }
  if (rest.size() != 1 || rest[0].starts_with('-')) {
    base::write_raw("polymath migrate FILE [--image IMAGE]: a TGI or vLLM Deployment as one of ours, on stdout\n");
    return rest == Arguments{"--help"} ? 0 : 2;
  }
  const auto text = base::read_file(rest[0], kYamlBytesMax);
  if (!text.ok()) return fail(text.status());
  const auto migrated = migrate_manifests(*text, image);
  if (!migrated.ok())
    return fail(absl::Status(migrated.status().code(), absl::StrCat(rest[0], ": ", migrated.status().message())));
  for (const std::string& change : migrated->changes) base::write_raw(change + "\n");
  for (const auto& words : migrated->serve)
    base::write_raw(absl::StrCat("polymath serve ", absl::StrJoin(words, " "), "\n"));
  std::fputs(migrated->yaml.c_str(), stdout);
  return 0;
}

}  // namespace polymath::commands
