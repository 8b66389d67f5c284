// Any text as a hub's answers: a commit, a listing, a Link header. A pull chooses files from it.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "commands/http/url.h"
#include "commands/pull/selection.h"

namespace {

using namespace polymath::commands;

// Whatever is let through stays below the snapshot.
void check_file(const HubFile& file) {
  const std::string around = "/" + file.path + "/";
  const bool inside = around.find("/../") == std::string::npos && around.find("//") == std::string::npos;
  const size_t digits = file.kind == Checksum::Kind::kSha256 ? kSha256Digits : kSha1Digits;
  if (!inside || file.size > kHubFileBytesMax || !is_hex(file.checksum, digits)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_commit(text);
  if (const auto url = http::parse_url(text); url.ok()) {
    const auto again = http::parse_url(url->text());
    if (!again.ok() || !again->same_origin(*url)) std::abort();
    (void)http::follow(*url, next_page(text));
  }
  std::vector<HubFile> files;
  if (!add_listing_page(text, files).ok() || !finish_listing(files).ok()) return 0;
  for (const HubFile& file : files) check_file(file);
  for (const Wanted& wanted : {Wanted{"org/m", "", ""}, Wanted{"org/m", "", "Q8_0"}, Wanted{"org/m", "a.gguf", ""}}) {
    const auto selection = select_files(files, wanted);
    if (selection.ok() && selection->files.empty()) std::abort();
  }
  return 0;
}
