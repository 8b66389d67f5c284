#include "plan/hardware.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/json.h"
#include "plan/price_data.h"

namespace polymath::plan {
namespace {

// Memory: what a CUDA program sees (H200: measured here; others as PyTorch reports them); of Trainium the data sheet's.
// Rates: the vendors' data sheets, dense operations. All of 2026-11.
constexpr Gpu kGpus[] = {
    {"a10g", "A10G 24 GB", 22723, 600, 70, false},
    {"l4", "L4 24 GB", 22559, 300, 121, false},
    {"a100-40gb", "A100 SXM 40 GB", 40335, 1555, 312, false},
    {"l40s", "L40S 48 GB", 45455, 864, 362, false},
    {"a100-80gb", "A100 SXM 80 GB", 81050, 2039, 312, false},
    {"h100-80gb", "H100 SXM 80 GB", 80998, 3350, 989, true},
    {"h200", "H200 SXM 141 GB", 143155, 4800, 989, true},
    {"b200", "B200 SXM 180 GB", 182630, 8000, 2250, false},
    {"trainium1", "Trainium 32 GB", 32768, 820, 190, false},
    {"trainium2", "Trainium2 96 GB", 98304, 2900, 667, false},
};

constexpr double kDollarsMax = 1e6;  // an hour; more: kInvalidArgument

absl::StatusOr<Instance> parse_instance(base::JsonReader& row) {
  Instance out;
  out.name = row.s("instance");
  out.n_gpus = row.i("gpus");
  out.dollars_an_hour = row.f("dollars_an_hour", 0);
  out.listed = row.b("listed", true);
  out.source = row.s("source", "");
  const std::string gpu = row.s("gpu");
  RETURN_IF_ERROR(row.status());
  out.gpu = find_gpu(gpu);
  if (out.gpu == nullptr) row.complain("gpu", absl::StrCat("\"", gpu, "\" is not a known GPU"));
  if (out.n_gpus < 1 || out.n_gpus > kGpusOfInstanceMax) row.complain("gpus", "must be 1 to 1024");
  if (!(out.dollars_an_hour >= 0 && out.dollars_an_hour <= kDollarsMax)) {
    row.complain("dollars_an_hour", "must be 0 to 1000000");
  }
  RETURN_IF_ERROR(row.status());
  return out;
}

}  // namespace

std::span<const Gpu> known_gpus() { return kGpus; }

const Gpu* find_gpu(std::string_view name) {
  const std::string wanted = absl::AsciiStrToLower(std::string(name));
  const Gpu* found = nullptr;
  int n_found = 0;
  for (const Gpu& gpu : kGpus) {
    if (gpu.name == wanted) return &gpu;
    if (wanted.empty() || gpu.name.substr(0, gpu.name.find('-')) != wanted) continue;
    found = &gpu;
    ++n_found;
  }
  return n_found == 1 ? found : nullptr;
}

const Instance* PriceList::find(std::string_view name) const {
  const auto at = std::find_if(instances.begin(), instances.end(), [&](const Instance& i) { return i.name == name; });
  return at == instances.end() ? nullptr : &*at;
}

absl::StatusOr<PriceList> parse_prices(std::string_view text) {
  ASSIGN_OR_RETURN(const base::JsonValue root,
                   base::parse_json(text, {.depth_max = 8, .bytes_max = kPriceListBytesMax}));
  base::JsonReader j(root, "prices");
  PriceList list{.dated = j.s("dated"), .region = j.s("region", ""), .instances = {}};
  RETURN_IF_ERROR(j.status());
  const base::JsonValue* rows = j.find("instances");
  if (rows == nullptr || !rows->is_array()) return absl::InvalidArgumentError("prices: instances: must be a list");
  if (rows->get_array().size() > kPriceListRowsMax) {
    return absl::InvalidArgumentError("prices: instances: more than 4096 rows");
  }
  for (size_t i = 0; i < rows->get_array().size(); ++i) {
    base::JsonReader row(rows->get_array()[i], absl::StrCat("prices.instances[", i, "]"));
    ASSIGN_OR_RETURN(Instance instance, parse_instance(row));
    if (list.find(instance.name) != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("prices: ", instance.name, " is in the list twice"));
    }
    list.instances.push_back(std::move(instance));
  }
  return list;
}

const PriceList& built_in_prices() {
  static const auto* const list = [] {
    auto parsed = parse_prices(kPriceData);
    CHECK(parsed.ok());
    return new PriceList(*std::move(parsed));
  }();
  return *list;
}

PriceList merge_prices(const PriceList& base, PriceList own) {
  for (const Instance& instance : base.instances) {
    if (own.find(instance.name) == nullptr) own.instances.push_back(instance);
  }
  return own;
}

}  // namespace polymath::plan
