#include "commands/http/sse.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace polymath::commands::http {

absl::Status SseSplitter::feed(std::string_view bytes, const OnEvent& on_event) {
  while (!bytes.empty()) {
    // A \n behind a \r ends no second line, even where the bytes were cut between them.
    if (std::exchange(skip_newline_, false) && bytes.starts_with('\n')) {
      bytes.remove_prefix(1);
      continue;
    }
    const size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    if (event_bytes_ + line_.size() + end > event_bytes_max_) {
      return absl::ResourceExhaustedError(absl::StrCat("an event of more than ", event_bytes_max_, " bytes"));
    }
    line_.append(bytes.substr(0, end));
    if (end == bytes.size()) return absl::OkStatus();
    skip_newline_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    RETURN_IF_ERROR(end_line(on_event));
  }
  return absl::OkStatus();
}

absl::Status SseSplitter::end_line(const OnEvent& on_event) {
  if (std::exchange(first_line_, false) && line_.starts_with("\xef\xbb\xbf")) line_.erase(0, 3);
  if (line_.empty()) {
    event_bytes_ = 0;
    if (data_.empty()) return absl::OkStatus();
    data_.pop_back();
    const std::string data = std::exchange(data_, {});
    return on_event(data);
  }
  event_bytes_ += line_.size() + 1;
  const size_t colon = std::min(line_.find(':'), line_.size());
  if (std::string_view(line_).substr(0, colon) == "data") {
    size_t begin = std::min(colon + 1, line_.size());
    if (begin < line_.size() && line_[begin] == ' ') ++begin;
    data_.append(line_, begin);
    data_ += '\n';
  } else if (colon == 0) {
    event_bytes_ -= line_.size() + 1;  // a comment belongs to no event: any number may come
  }
  line_.clear();
  return absl::OkStatus();
}

}  // namespace polymath::commands::http
