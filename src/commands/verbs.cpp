#include "commands/verbs.h"

#include "absl/strings/str_cat.h"
#include "base/line_writer.h"

namespace polymath::commands {

int fail(const absl::Status& status) {
  base::write_raw(absl::StrCat("polymath: ", status.message(), "\n"));
  return 1;
}

int fail_flags(const absl::Status& status) {
  if (absl::IsOutOfRange(status)) return 0;  // help was printed
  base::write_raw(absl::StrCat("polymath: ", status.message(), "\n"));
  return 2;
}

}  // namespace polymath::commands
