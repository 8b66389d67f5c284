// Fuzzes routers. With a valid configuration, any row of floats selects distinct experts within bounds.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

#include "base/check.h"
#include "routing/batch.h"
#include "routing/router.h"
#include "routing/validate.h"

namespace {

using namespace polymath;

// Reads the input as numbers; past its end they are zero.
class Numbers {
 public:
  Numbers(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  template <typename T>
  T next() {
    T value{};
    const size_t n = std::min(size_, sizeof(T));
    if (n > 0) std::memcpy(&value, data_, n);
    data_ += n;
    size_ -= n;
    return value;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

routing::RouterConfig read_config(Numbers& numbers) {
  routing::RouterConfig config;
  config.n_experts = numbers.next<int16_t>();
  config.top_k = numbers.next<int8_t>();
  config.n_groups = numbers.next<int8_t>();
  config.top_groups = numbers.next<int8_t>();
  config.normalize = numbers.next<uint8_t>() & 1;
  config.normalize_min = numbers.next<float>();
  config.normalize_eps = numbers.next<float>();
  config.weight_scale = numbers.next<float>();
  config.jitter_eps = numbers.next<float>();
  config.hash_seed = numbers.next<uint32_t>();
  return config;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Numbers numbers(data, size);
  const routing::Router& router = routing::routers()[numbers.next<uint8_t>() % routing::routers().size()];
  const routing::RouterConfig config = read_config(numbers);
  if (!routing::validate(router, config).ok()) return 0;
  const int32_t token = numbers.next<int32_t>();
  const float capacity_factor = numbers.next<float>();

  std::vector<float> logits(config.n_experts), bias(config.n_experts);
  for (float& v : logits) v = numbers.next<float>();
  for (float& v : bias) v = numbers.next<float>();
  std::vector<int32_t> ids(config.top_k, -1);
  std::vector<float> weights(config.top_k);
  router.route(config, logits.data(), bias.data(), token, ids.data(), weights.data());
  for (int32_t id : ids) CHECK(id >= 0 && id < config.n_experts);
  CHECK(std::set<int32_t>(ids.begin(), ids.end()).size() == ids.size());

  routing::apply_capacity(config, capacity_factor, 1, ids.data(), weights.data());
  const routing::ExpertChoice choice = routing::expert_choice(config, logits.data(), 1, capacity_factor);
  CHECK(choice.token_ids.size() == static_cast<size_t>(config.n_experts));
  return 0;
}
