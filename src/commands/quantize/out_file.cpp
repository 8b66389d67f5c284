#include "commands/quantize/out_file.h"

#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "commands/flags/flag_values.h"

namespace polymath::commands {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPart = ".part";

absl::Status not_written(const std::string& path) {
  return absl::UnavailableError(absl::StrCat(path, ": cannot be written"));
}

}  // namespace

OutFile::OutFile(std::string path)
    : path_(std::move(path)),
      part_(absl::StrCat(path_, std::string(kPart))),
      stream_(part_, std::ios::binary | std::ios::trunc) {}

OutFile::~OutFile() {
  std::error_code ignored;
  if (!done_) fs::remove(part_, ignored);
}

void OutFile::write(const void* data, size_t bytes) {
  stream_.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  at_ += bytes;
}

void OutFile::write_at(uint64_t place, const void* data, size_t bytes) {
  if (place != at_) stream_.seekp(static_cast<std::streamoff>(place));
  at_ = place;
  write(data, bytes);
}

void OutFile::pad_to(uint64_t place) {
  const std::vector<char> zeros(place - at_);
  write(zeros.data(), zeros.size());
}

absl::Status OutFile::finish() {
  stream_.close();
  std::error_code failed;
  if (stream_) fs::rename(part_, path_, failed);
  if (!stream_ || failed) return not_written(path_);
  done_ = true;
  return absl::OkStatus();
}

OutDirectory::OutDirectory(std::string path) : path_(std::move(path)), part_(absl::StrCat(path_, std::string(kPart))) {
  std::error_code ignored;  // its files cannot be written then
  fs::create_directory(part_, ignored);
}

OutDirectory::~OutDirectory() {
  std::error_code ignored;
  if (!done_) fs::remove_all(part_, ignored);
}

absl::Status OutDirectory::finish() {
  std::error_code failed;
  fs::rename(part_, path_, failed);
  if (failed) return not_written(path_);
  done_ = true;
  return absl::OkStatus();
}

absl::Status check_room(const std::string& out, uint64_t bytes) {
  std::error_code failed;
  for (const std::string& path : {out, absl::StrCat(out, std::string(kPart))}) {
    if (fs::exists(path, failed)) return absl::AlreadyExistsError(absl::StrCat(path, ": is there already"));
  }
  const fs::path folder = fs::absolute(out).parent_path();
  const fs::space_info space = fs::space(folder, failed);
  if (failed) return absl::NotFoundError(absl::StrCat(folder.string(), ": cannot be written to: ", failed.message()));
  if (space.available >= bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(out, ": takes ", bytes_text(static_cast<double>(bytes)), ", and ",
                                                   bytes_text(static_cast<double>(space.available)), " are free"));
}

}  // namespace polymath::commands
