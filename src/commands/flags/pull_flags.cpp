// Flags of pull alone.

#include "commands/flags/flag_tables.h"
#include "commands/flags/flag_values.h"
#include "commands/pull/listing.h"

namespace polymath::commands {
namespace {

constexpr int64_t kWorkersMax = 64;  // more connections than a hub likes: refused

constexpr Flag kFlags[] = {
    {"file", "", FlagKind::kValue, kPull, "PATH", "the model",
     "One GGUF file of the repository, with its other parts if it is split; nothing else is downloaded.",
     [](Options& o, std::string_view v) -> absl::Status {
       RETURN_IF_ERROR(check_hub_path(v));
       o.pull.file = std::string(v);
       return absl::OkStatus();
     }},
    {"max-workers", "", FlagKind::kValue, kPull, "N", "8", "Files that are downloaded at once.",
     set_int<&PullOptions::workers, 1, kWorkersMax>},
};

}  // namespace

std::span<const Flag> pull_flags() { return kFlags; }

}  // namespace polymath::commands
