#pragma once

// For this room's tests: safetensors files as strings, and temporary directories.

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "weights/checkpoint.h"

namespace polymath::weights {

inline std::string safetensors(std::string_view header, std::string_view data) {
  std::string out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(static_cast<uint64_t>(header.size()) >> (8 * i)));
  return out.append(header).append(data);
}

// One u8 tensor a name, of one byte each.
inline std::string u8_file(std::initializer_list<std::string> names) {
  std::string header = "{";
  int at = 0;
  for (const std::string& name : names) {
    header.append(at == 0 ? "\"" : ", \"").append(name);
    header.append(R"(": {"dtype": "U8", "shape": [1], "data_offsets": [)").append(std::to_string(at));
    header.append(", ").append(std::to_string(at + 1)).append("]}");
    ++at;
  }
  return safetensors(header + "}", std::string(static_cast<size_t>(at), 'x'));
}

inline std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Of all tensors together.
inline size_t total_bytes(const Checkpoint& checkpoint) {
  size_t bytes = 0;
  for (const TensorInfo& info : checkpoint.tensors()) bytes += info.bytes;
  return bytes;
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "weights-XXXXXX").string();
    CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string at(std::string_view name) const { return path_ + "/" + std::string(name); }
  void write(std::string_view name, std::string_view content) const {
    const std::filesystem::path file = at(name);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
  }

 private:
  std::string path_;
};

}  // namespace polymath::weights
