#pragma once

// Files and directories that appear whole, or not at all: they are written under another name first.

#include <cstdint>
#include <fstream>
#include <string>

#include "base/status.h"

namespace polymath::commands {

class OutFile {
 public:
  explicit OutFile(std::string path);
  ~OutFile();
  OutFile(const OutFile&) = delete;
  OutFile& operator=(const OutFile&) = delete;

  void write(const void* data, size_t bytes);
  void write_at(uint64_t place, const void* data, size_t bytes);  // from the file's start; write() goes on from there
  void pad_to(uint64_t place);                                    // with zeros. REQUIRES: nothing is written behind it
  bool good() const { return stream_.good(); }
  // kUnavailable: something could not be written.
  absl::Status finish();

 private:
  const std::string path_, part_;
  std::ofstream stream_;
  uint64_t at_ = 0;
  bool done_ = false;
};

class OutDirectory {
 public:
  // Makes it. finish() gives it its name.
  explicit OutDirectory(std::string path);
  ~OutDirectory();
  OutDirectory(const OutDirectory&) = delete;
  OutDirectory& operator=(const OutDirectory&) = delete;

  std::string at(const std::string& name) const { return part_ + "/" + name; }
  absl::Status finish();

 private:
  const std::string path_, part_;
  bool done_ = false;
};

// kAlreadyExists: `out` does. kNotFound: its folder does not. kResourceExhausted: the disk has too little room.
absl::Status check_room(const std::string& out, uint64_t bytes);

}  // namespace polymath::commands
