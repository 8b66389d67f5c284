#pragma once

// GGUF files as strings, good ones and bad ones.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace polymath::weights {

class GgufFile {
 public:
  template <typename T>
  static std::string raw(T value) {
    std::string out(sizeof(T), '\0');
    std::memcpy(out.data(), &value, sizeof(T));
    return out;
  }
  static std::string text(std::string_view s) { return raw<uint64_t>(s.size()).append(s); }

  // Types: 4 u32, 5 i32, 6 f32, 7 bool, 8 string, 9 array, 10 u64.
  GgufFile& pair(std::string_view key, uint32_t type, const std::string& value) {
    metadata_ += text(key) + raw(type) + value;
    ++pairs;
    return *this;
  }
  GgufFile& u32(std::string_view key, uint32_t value) { return pair(key, 4, raw(value)); }
  GgufFile& f32(std::string_view key, float value) { return pair(key, 6, raw(value)); }
  GgufFile& string(std::string_view key, std::string_view value) { return pair(key, 8, text(value)); }
  GgufFile& strings(std::string_view key, const std::vector<std::string>& values) {
    std::string all = raw<uint32_t>(8) + raw<uint64_t>(values.size());
    for (const std::string& v : values) all += text(v);
    return pair(key, 9, all);
  }
  // `dims`: innermost first.
  GgufFile& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, std::string_view data) {
    data_.resize((data_.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
    return tensor_at(name, dims, type, data_.size(), data);
  }
  GgufFile& tensor_at(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset,
                      std::string_view data) {
    infos_ += text(name) + raw(static_cast<uint32_t>(dims.size()));
    for (const uint64_t d : dims) infos_ += raw(d);
    infos_ += raw(type) + raw(offset);
    data_ += data;
    ++tensors;
    return *this;
  }

  std::string bytes() const {
    std::string out = magic + raw(version) + raw(tensors) + raw(pairs) + metadata_ + infos_;
    if (!data_.empty()) out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
    return out + data_;
  }

  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t tensors = 0, pairs = 0;  // as the header claims

 private:
  static constexpr size_t kAlignment = 32;
  std::string metadata_, infos_, data_;
};

}  // namespace polymath::weights
