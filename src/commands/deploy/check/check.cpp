#include "commands/deploy/check/check.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "commands/deploy/check/schema.h"
#include "commands/deploy/yaml/yaml.h"

namespace polymath::commands {
namespace {

constexpr size_t kObjectsMax = 10'000;  // more: kInvalidArgument

}  // namespace

absl::StatusOr<CheckReport> check_manifests(const std::vector<ManifestFile>& files, const CheckSettings& settings) {
  Objects objects;
  for (const ManifestFile& file : files) {
    auto documents = parse_yaml(file.text);
    if (!documents.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(file.name, ": ", documents.status().message()));
    }
    for (base::JsonValue& document : *documents) objects.add(file.name, std::move(document));
    if (objects.all().size() > kObjectsMax) return absl::InvalidArgumentError("more than 10000 objects");
  }
  objects.find_pods();
  CheckReport report{.n_objects = objects.all().size()};
  Complaints complaints;
  for (const Object& object : objects.all()) {
    check_fields(object, complaints);
    report.n_unknown += is_known_kind(object) ? 0 : 1;
  }
  check_names(objects, complaints);
  check_references(objects, complaints);
  check_routes(objects, complaints);
  check_pods(objects, settings, complaints);
  check_scaling(objects, complaints);
  check_metric_names(objects, settings, complaints);
  report.complaints = complaints.all();
  return report;
}

// --- names -----------------------------------------------------------------------------------------------------------

namespace {

bool is_label(std::string_view text, size_t bytes_max, std::string_view more) {
  bool good = !text.empty() && text.size() <= bytes_max && absl::ascii_isalnum(text.front()) != 0 &&
              absl::ascii_isalnum(text.back()) != 0;
  for (const char c : text) {
    good &= absl::ascii_islower(c) || absl::ascii_isdigit(c) || more.find(c) != std::string_view::npos;
  }
  return good;
}

void check_labels(const Object& object, const Labels& labels, Complaints& complaints) {
  for (const auto& [key, value] : labels) {
    const bool good = value.empty() || is_label(absl::AsciiStrToLower(value), 63, "-._");
    if (!good) complaints.add(object, absl::StrCat("the label ", key, " has a value that no label may have: ", value));
  }
}

}  // namespace

void check_names(const Objects& objects, Complaints& complaints) {
  std::set<std::string> seen;
  for (const Object& object : objects.all()) {
    const bool is_service = object.kind == "Service";
    const bool good = is_service ? is_label(object.name, 63, "-") && absl::ascii_isalpha(object.name.front()) != 0
                                 : is_label(object.name, 253, "-.");
    if (!good && !object.name.empty()) complaints.add(object, "metadata.name: is no name that Kubernetes takes");
    if (!seen.insert(absl::StrCat(object.title(), " ", object.space)).second) complaints.add(object, "is here twice");
    check_labels(object, labels_at(object.value, "metadata.labels"), complaints);
  }
  for (const Pod& pod : objects.pods()) check_labels(*pod.owner, pod.labels, complaints);
}

}  // namespace polymath::commands
