#include "weights/gguf_writer.h"

#include <cstring>

#include "base/check.h"

namespace polymath::weights {
namespace {

constexpr uint32_t kVersion = 3, kU32 = 4;

template <typename T>
void append(std::string& to, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  to.append(bytes, sizeof(T));
}

void append_text(std::string& to, std::string_view text) {
  append<uint64_t>(to, text.size());
  to += text;
}

uint64_t padded(uint64_t bytes, uint64_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

}  // namespace

void GgufWriter::add_pair(std::string_view key, uint32_t type, std::span<const std::byte> value) {
  append_text(pairs_, key);
  append(pairs_, type);
  pairs_.append(reinterpret_cast<const char*>(value.data()), value.size());
  ++n_pairs_;
}

void GgufWriter::add_u32(std::string_view key, uint32_t value) {
  add_pair(key, kU32, std::as_bytes(std::span(&value, 1)));
}

uint64_t GgufWriter::add_tensor(std::string_view name, const GgmlType& type, const tensor::Shape& shape) {
  CHECK(shape.rank() > 0 && shape[shape.rank() - 1] % type.block_values == 0);
  append_text(tensors_, name);
  append(tensors_, static_cast<uint32_t>(shape.rank()));
  for (int i = shape.rank(); i > 0; --i) append(tensors_, static_cast<uint64_t>(shape[i - 1]));
  append(tensors_, type.id);
  const uint64_t place = data_bytes_;
  append(tensors_, place);
  const auto blocks = static_cast<uint64_t>(shape.elements() / type.block_values);
  data_bytes_ = padded(place + blocks * static_cast<uint64_t>(type.block_bytes), alignment_);
  ++n_tensors_;
  return place;
}

std::string GgufWriter::header() const {
  std::string out = "GGUF";
  append(out, kVersion);
  append(out, n_tensors_);
  append(out, n_pairs_);
  out += pairs_;
  out += tensors_;
  out.resize(padded(out.size(), alignment_), '\0');
  return out;
}

}  // namespace polymath::weights
