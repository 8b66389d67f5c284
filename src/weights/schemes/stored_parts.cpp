#include "weights/schemes/stored_parts.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "quant/fp8.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {

bool cut_ending(std::string_view& name, std::string_view ending) {
  if (!name.ends_with(ending)) return false;
  name.remove_suffix(ending.size());
  return true;
}

absl::Status bad_tensor(const Stored& stored, std::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(stored.info.file, ": tensor ", shown_name(stored.info.name), " ", std::string(what)));
}

absl::StatusOr<const Stored*> ModuleTensors::need(std::string_view part, const Stored& main) const {
  if (const Stored* stored = find(part); stored != nullptr) return stored;
  return bad_tensor(main, absl::StrCat("has no ", shown_name(module + std::string(part)), " beside it"));
}

std::vector<const Stored*> ModuleTensors::present(std::initializer_list<std::string_view> parts) const {
  std::vector<const Stored*> out;
  for (const std::string_view part : parts) {
    if (const Stored* stored = find(part); stored != nullptr) out.push_back(stored);
  }
  return out;
}

absl::Status check_stored(const Stored& stored, std::string_view type, const tensor::Shape& shape) {
  if (!type.empty() && stored.type != type) {
    return bad_tensor(stored, absl::StrCat("is of type ", stored.type, "; ", std::string(type), " is expected"));
  }
  if (stored.info.shape == shape) return absl::OkStatus();
  return bad_tensor(stored, absl::StrCat("has shape ", stored.info.shape.text(), "; ", shape.text(), " is expected"));
}

bool is_half(const Stored& stored) { return stored.type != "F32"; }

absl::StatusOr<std::vector<float>> read_numbers(const Stored& stored) {
  const auto n = static_cast<size_t>(stored.info.shape.elements());
  std::vector<float> out(n);
  const auto* bytes = reinterpret_cast<const uint8_t*>(stored.bytes.data());
  if (stored.type == "F8_E4M3") {
    for (size_t i = 0; i < n; ++i) out[i] = quant::e4m3_to_f32(bytes[i]);
  } else if (stored.type == "F8_E8M0" || stored.type == "U8") {
    for (size_t i = 0; i < n; ++i) out[i] = quant::e8m0_to_f32(bytes[i]);
  } else if (stored.info.format != nullptr && stored.type != "F64") {
    stored.info.format->dequantize({stored.bytes.data()}, 0, out.data(), static_cast<int64_t>(n));
  } else {
    return bad_tensor(stored, absl::StrCat("is of type ", stored.type, ", and no scales are stored so"));
  }
  return out;
}

}  // namespace polymath::weights
