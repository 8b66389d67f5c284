// Autoscalers, and the metrics that they and alerts name.

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "commands/deploy/check/check.h"

namespace polymath::commands {
namespace {

void check_target(const Objects& objects, const Object& scaler, std::map<std::string, std::string>& owners,
                  Complaints& complaints) {
  const std::string kind = text_at(scaler.value, "spec.scaleTargetRef.kind");
  const std::string name = text_at(scaler.value, "spec.scaleTargetRef.name");
  const Object* target = objects.find(kind.empty() ? "Deployment" : kind, scaler.space, name);
  if (target == nullptr)
    return complaints.add(scaler, absl::StrCat("scaleTargetRef: ", name, " is not in these files"));
  const auto [at, is_new] = owners.emplace(absl::StrCat(target->title(), " ", target->space), scaler.title());
  if (!is_new) complaints.add(scaler, absl::StrCat("scales the same pods as ", at->second));
  if (value_at(target->value, "spec.replicas") != nullptr) {
    complaints.add(*target, "spec.replicas: each apply would undo the autoscaler's number; leave it out");
  }
}

void check_bounds(const Object& scaler, const char* least, const char* most, Complaints& complaints) {
  const int64_t min = number_at(scaler.value, least, 1), max = number_at(scaler.value, most, min);
  if (min > max) complaints.add(scaler, absl::StrCat("the fewest replicas, ", min, ", exceed the most, ", max));
}

// Prometheus' names in an expression: words that a "(" does not follow, outside quotes, braces and "by (...)".
std::set<std::string> metrics_of(std::string_view expression) {
  std::set<std::string> out;
  int braces = 0;
  bool in_list = false;  // of labels, behind by, without, on, ignoring
  for (size_t i = 0; i < expression.size();) {
    const char c = expression[i];
    if (c == '"' || c == '\'') {
      i = std::min(expression.find(c, i + 1), expression.size() - 1) + 1;
      continue;
    }
    braces += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
    if (c == ')') in_list = false;
    const auto is_word = [](char x) { return absl::ascii_isalnum(x) || x == '_' || x == ':'; };
    if (!is_word(c)) {
      ++i;
      continue;
    }
    const size_t begin = i;
    while (i < expression.size() && is_word(expression[i])) ++i;
    const std::string word(expression.substr(begin, i - begin));
    size_t next = i;
    while (next < expression.size() && expression[next] == ' ') ++next;
    const bool calls = next < expression.size() && expression[next] == '(';
    constexpr std::string_view kLists[] = {"by", "without", "on", "ignoring", "group_left", "group_right"};
    constexpr std::string_view kWords[] = {"and", "or",  "unless", "offset", "bool",  "inf",      "nan",
                                           "sum", "min", "max",    "avg",    "count", "quantile", "topk"};
    const auto is_one_of = [&](auto& words) {
      return std::find(std::begin(words), std::end(words), word) != std::end(words);
    };
    if (is_one_of(kLists) && calls) in_list = true;
    const bool is_number = absl::ascii_isdigit(word.front()) != 0;
    if (braces == 0 && !in_list && !calls && !is_number && !is_one_of(kWords)) out.insert(word);
  }
  return out;
}

void check_expression(const Object& object, const std::string& expression, const CheckSettings& settings,
                      Complaints& complaints) {
  if (settings.metrics.empty()) return;
  constexpr std::string_view kOfPrometheus[] = {"up", "ALERTS"};
  for (const std::string& metric : metrics_of(expression)) {
    const bool known = std::find(std::begin(kOfPrometheus), std::end(kOfPrometheus), metric) != std::end(kOfPrometheus);
    if (!known && !settings.metrics.contains(metric)) {
      complaints.add(object, absl::StrCat("the server has no metric ", metric, ": this would never fire"));
    }
  }
}

void check_autoscaler_metrics(const Object& scaler, Complaints& complaints) {
  for (const base::JsonValue* metric : list_at(scaler.value, "spec.metrics")) {
    const std::string name = text_at(*metric, "pods.metric.name");
    if (name.find(':') == std::string::npos) continue;
    complaints.add(scaler, absl::StrCat(name,
                                        ": Kubernetes' metrics have no `:` in their names; prometheus-adapter "
                                        "renames it, as vllm_num_requests_waiting"));
  }
}

}  // namespace

void check_scaling(const Objects& objects, Complaints& complaints) {
  std::map<std::string, std::string> owners;  // scaled object -> its scaler
  for (const Object* scaler : objects.of_kind("HorizontalPodAutoscaler")) {
    check_target(objects, *scaler, owners, complaints);
    check_bounds(*scaler, "spec.minReplicas", "spec.maxReplicas", complaints);
    check_autoscaler_metrics(*scaler, complaints);
  }
  for (const Object* scaler : objects.of_kind("ScaledObject")) {
    check_target(objects, *scaler, owners, complaints);
    check_bounds(*scaler, "spec.minReplicaCount", "spec.maxReplicaCount", complaints);
  }
}

void check_metric_names(const Objects& objects, const CheckSettings& settings, Complaints& complaints) {
  for (const Object* rules : objects.of_kind("PrometheusRule")) {
    std::set<std::string> names;
    std::vector<const base::JsonValue*> all;
    for (const base::JsonValue* group : list_at(rules->value, "spec.groups")) {
      const auto of_group = list_at(*group, "rules");
      all.insert(all.end(), of_group.begin(), of_group.end());
    }
    for (const base::JsonValue* rule : all) {
      const std::string alert = text_at(*rule, "alert");
      if (alert.empty() == text_at(*rule, "record").empty()) complaints.add(*rules, "a rule is an alert or a record");
      if (!alert.empty() && !names.insert(alert).second) complaints.add(*rules, absl::StrCat(alert, " is here twice"));
      check_expression(*rules, text_at(*rule, "expr"), settings, complaints);
    }
  }
  for (const Object* scaler : objects.of_kind("ScaledObject")) {
    for (const base::JsonValue* trigger : list_at(scaler->value, "spec.triggers")) {
      check_expression(*scaler, text_at(*trigger, "metadata.query"), settings, complaints);
    }
  }
}

}  // namespace polymath::commands
