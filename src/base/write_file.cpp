#include "base/write_file.h"

#include <fstream>

#include "absl/strings/str_cat.h"

namespace polymath::base {

absl::Status write_file(const std::string& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  return out ? absl::OkStatus() : absl::UnavailableError(absl::StrCat(path, " cannot be written"));
}

}  // namespace polymath::base
