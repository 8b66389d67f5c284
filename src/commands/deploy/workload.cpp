#include "commands/deploy/workload.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "commands/flags/flag_values.h"
#include "commands/flags/flags.h"
#include "commands/plan/prices.h"
#include "commands/plan/report.h"
#include "commands/text_table.h"
#include "plan/known_models.h"

namespace polymath::commands {
namespace {

constexpr double kGib = 1 << 30;
constexpr double kStartSeconds = 60;  // beside reading: containers, CUDA, graphs; an estimate
constexpr int64_t kStartupLeast = 300;
constexpr int64_t kGraceBeyond = 15;  // after a drain the process ends within 10 s
constexpr size_t kNameBytesMax = 50;  // of an object; the rest of a longer name is cut

bool is_org_name(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == 0 || slash == std::string_view::npos || slash + 1 == text.size()) return false;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) == 0 && std::string_view("/-._").find(c) == std::string_view::npos) return false;
  }
  return text.find('/', slash + 1) == std::string_view::npos && text.front() != '.' && text.front() != '/';
}

// The only target, or the cheapest whose GPUs have kernels, on one host.
absl::StatusOr<const GroupReport*> choose_group(const ModelReport& report, const Options& options) {
  const bool given = !options.plan.gpus.empty() || !options.plan.instances.empty();
  const GroupReport* best = nullptr;
  for (const GroupReport& group : report.groups) {
    if (given) {
      best = &group;
      break;
    }
    if (!group.fits || !group.cost || !group.plan.gpu->has_kernels || group.cost->n_instances > 1) continue;
    const auto dollars = [](const GroupReport& g) { return g.cost->dollars_an_hour; };
    if (best == nullptr || dollars(group) < dollars(*best)) best = &group;
  }
  if (best == nullptr) {
    return absl::InvalidArgumentError("no known instance type holds the model on one host; polymath plan says more");
  }
  const plan::Gpu& gpu = *best->plan.gpu;
  if (!gpu.has_kernels) {
    return absl::UnimplementedError(absl::StrCat("there are no kernels for ", std::string(gpu.title),
                                                 "; CUDA needs a Hopper GPU: h100-80gb or h200"));
  }
  if (!best->fits) {
    return absl::InvalidArgumentError(absl::StrCat(best->plan.layout.gpus(), " x ", std::string(gpu.title),
                                                   " do not hold the model with ", report.wanted.sequences, " x ",
                                                   report.wanted.length, " tokens; polymath plan says what does"));
  }
  if (best->plan.layout.pipeline > 1 || (best->cost && best->cost->n_instances > 1)) {
    return absl::UnimplementedError(
        absl::StrCat("the model takes ", best->plan.layout.gpus(), " x ", std::string(gpu.title),
                     ", which is more than one host; several hosts with GPUs are not built yet"));
  }
  return best;
}

bool has_flag(const std::vector<std::string>& words, std::string_view flag) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return word == flag || word.starts_with(absl::StrCat(std::string(flag), "="));
  });
}

// serve's command line; flags of `rest` replace the ones that are set here.
std::vector<std::string> arguments_of(const Workload& workload, const GroupReport& group,
                                      const std::vector<std::string>& rest) {
  std::vector<std::string> out = {"serve", workload.repository};
  const std::vector<std::string> planned = absl::StrSplit(group.serve, ' ');  // polymath serve MODEL --flag value ...
  std::vector<std::string> more(planned.begin() + 3, planned.end());
  const std::pair<const char*, const char*> ours[] = {{"--served-model-name", workload.repository.c_str()},
                                                      {"--port", "8000"},
                                                      {"--probe-port", "8001"},
                                                      {"--drain-delay", "15"},
                                                      {"--shutdown-timeout", "120"}};
  for (const auto& [flag, value] : ours) more.insert(more.end(), {flag, value});
  for (size_t i = 0; i < more.size();) {
    const size_t n = i + 1 < more.size() && !more[i + 1].starts_with("--") ? 2 : 1;
    if (!has_flag(rest, more[i])) out.insert(out.end(), more.begin() + i, more.begin() + i + n);
    i += n;
  }
  if (!workload.has_keys) {
    out.emplace_back("--allow-anonymous");
  } else {
    out.insert(out.end(), {"--api-key-file", "/etc/polymath/keys/keys"});
  }
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

// What serve itself makes of the arguments.
absl::Status read_arguments(Workload& workload) {
  const std::vector<std::string> of_serve(workload.arguments.begin() + 1, workload.arguments.end());
  const auto parsed = parse_flags(kServe, of_serve);
  if (!parsed.ok()) return parsed.status();
  const ServerOptions& server = parsed->server;
  if (!server.unix_socket.empty()) return absl::InvalidArgumentError("--uds: a Service needs a port");
  if (server.port == 0 || server.probe_port.value_or(0) == 0 || server.port == *server.probe_port) {
    return absl::InvalidArgumentError("--port and --probe-port must be two fixed ports");
  }
  if (parsed->runtime.pipeline_parallel > 1) {
    return absl::UnimplementedError("--pipeline-parallel-size: on GPUs stages are not built yet");
  }
  workload.port = server.port;
  workload.probe_port = *server.probe_port;
  workload.tls = !server.tls_certificate.empty();
  workload.drain_seconds = server.drain_delay_s + server.shutdown_timeout_s;
  workload.gpus = parsed->runtime.tensor_parallel * parsed->runtime.replicas;
  return absl::OkStatus();
}

std::string repository_of(const Options& options, const PlannedModel& model) {
  if (!options.deploy.repository.empty()) return options.deploy.repository;
  if (is_org_name(model.name)) return model.name;
  const plan::KnownModel* known = plan::find_known_model(model.name);
  return known == nullptr || model.on_disk ? "" : std::string(known->repository);
}

std::string summary(const GroupReport& group, const plan::Instance* instance) {
  return absl::StrCat(group.plan.layout.gpus(), " x ", std::string(group.plan.gpu->title),
                      instance == nullptr ? "" : " of " + instance->name, ": ",
                      bytes_text(static_cast<double>(group.plan.share().weights)), " of weights a GPU, KV cache of ",
                      with_commas(group.kv_tokens), " tokens");
}

}  // namespace

int64_t Workload::startup_seconds() const {
  return std::max(kStartupLeast, static_cast<int64_t>(std::ceil(2 * load_seconds / 60)) * 60);
}

int64_t Workload::grace_seconds() const { return static_cast<int64_t>(std::ceil(drain_seconds)) + kGraceBeyond; }

// Weights are mapped, read once and dropped; so a container needs little of its own.
int Workload::memory_gib() const { return 8 + 4 * gpus + shared_memory_gib(); }

int Workload::volume_gib() const {
  const double gib = static_cast<double>(weights) / kGib;
  return static_cast<int>(std::ceil((1.1 * gib + 1) / 10)) * 10;
}

std::string object_name(std::string_view repository) {
  std::string out;
  for (const char c : repository.substr(repository.find('/') + 1)) {
    out += absl::ascii_isalnum(c) != 0 ? absl::ascii_tolower(c) : '-';
  }
  if (out.empty() || absl::ascii_islower(out.front()) == 0) out = "m" + out;
  out = out.substr(0, kNameBytesMax);
  while (out.ends_with('-')) out.pop_back();
  return out;
}

absl::StatusOr<Workload> plan_workload(const Options& given, const std::vector<std::string>& rest) {
  Options options = given;
  options.plan.price = true;
  ASSIGN_OR_RETURN(plan::PriceList prices, prices_of(options.plan));
  const PlanSettings settings{options, std::move(prices)};
  ASSIGN_OR_RETURN(const ModelReport report, make_report(options.model.name, settings));
  ASSIGN_OR_RETURN(const GroupReport* const group, choose_group(report, options));
  Workload out;
  out.repository = repository_of(options, *report.model);
  if (!is_org_name(out.repository)) {
    return absl::InvalidArgumentError("a cluster loads org/name of the Hugging Face hub; --repository names it");
  }
  const DeployOptions& deploy = options.deploy;
  out.name = deploy.name.empty() ? object_name(out.repository) : deploy.name;
  out.space = deploy.space;
  out.image = deploy.image;
  out.storage_class = deploy.storage_class;
  out.has_keys = !options.server.allow_anonymous;
  out.replicas = deploy.replicas;
  out.replicas_max = std::max(deploy.replicas, deploy.replicas_max);
  const plan::Instance* instance = nullptr;
  if (!options.plan.instances.empty() || options.plan.gpus.empty()) {
    instance =
        !options.plan.instances.empty() ? settings.prices.find(options.plan.instances.front()) : group->cost->instance;
    out.instance = instance->name;
  }
  out.arguments = arguments_of(out, *group, rest);
  RETURN_IF_ERROR(read_arguments(out));
  if (instance != nullptr && out.gpus > instance->n_gpus) {
    return absl::InvalidArgumentError(
        absl::StrCat(out.gpus, " GPUs are more than ", instance->name, " has: ", instance->n_gpus));
  }
  out.weights = group->plan.share().weights * group->plan.layout.gpus();
  const double reading = static_cast<double>(out.weights) / deploy.read_rate;
  out.load_seconds = deploy.load_seconds > 0 ? deploy.load_seconds : reading + kStartSeconds;
  out.notes.push_back(summary(*group, instance));
  out.notes.push_back(absl::StrCat("loads in ", fixed(out.load_seconds, 0), " s, ",
                                   deploy.load_seconds > 0 ? "as measured" : "an estimate: --load-seconds says it"));
  if (!options.plan.weights.empty()) {
    out.notes.push_back(absl::StrCat(out.repository, " must hold weights that are ", options.plan.weights, " already"));
  }
  out.notes.insert(out.notes.end(), group->warnings.begin(), group->warnings.end());
  return out;
}

}  // namespace polymath::commands
