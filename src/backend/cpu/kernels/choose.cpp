#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backend/cpu/kernels/kernels.h"

namespace polymath::backend::cpu {
namespace {

struct Choice {
  std::string_view isa;
  bool (*runs)();
  const Kernels& (*kernels)();
};

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
}

// In order, best first. The first that runs is taken.
constexpr Choice kChoices[] = {
    {"amx", [] { return has_avx512() && may_use_amx(); }, amx_kernels},
    {"avx512", has_avx512, avx512_kernels},
    {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }, avx2_kernels},
    {"portable", [] { return true; }, portable_kernels},
};

}  // namespace

const WeightKernels* Kernels::find_weights(const quant::QuantFormat& format) const {
  for (const WeightKernels& w : format.plain() ? weights : packed) {
    if (w.format == &format) return &w;
  }
  return nullptr;
}

const WeightKernels& Kernels::weights_of(const quant::QuantFormat& format, DType inputs) const {
  const WeightKernels* found = find_weights(format);
  CHECK(found != nullptr);
  return format.plain() || inputs == DType::kF32 ? *found : packed_int8[static_cast<size_t>(found - packed.data())];
}

const WeightKernels& Kernels::cache_of(DType dtype) const {
  const quant::QuantFormat* format = &quant::plain_format(dtype);
  const auto found = std::find_if(caches.begin(), caches.end(), [&](const auto& w) { return w.format == format; });
  CHECK(found != caches.end());
  return *found;
}

absl::StatusOr<const Kernels*> choose_kernels(std::string_view isa) {
  __builtin_cpu_init();
  std::string known;
  for (const Choice& choice : kChoices) {
    if (isa.empty() ? choice.runs() : choice.isa == isa) {
      if (choice.runs()) return &choice.kernels();
      return absl::FailedPreconditionError(absl::StrCat("this CPU lacks the instructions of --isa ", std::string(isa)));
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(choice.isa));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no instruction set called ", std::string(isa), "; there are: ", known));
}

std::vector<KernelInfo::Variant> kernel_tables(const Kernels& in_use) {
  std::vector<KernelInfo::Variant> tables;
  for (const Choice& choice : kChoices) {
    tables.push_back({.name = choice.isa, .ran = choice.isa == in_use.isa, .on_machine = choice.runs()});
  }
  return tables;
}

}  // namespace polymath::backend::cpu
