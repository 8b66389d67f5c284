#pragma once

// Downloads files into the cache: several at once, each resumed where it stopped, and its checksum compared.

#include <vector>

#include "base/status.h"
#include "commands/pull/cache.h"
#include "commands/pull/hub.h"
#include "commands/pull/progress.h"

namespace polymath::commands {

struct Transfer {
  const Hub& hub;
  const ModelCache& cache;
  const std::string& commit;
  PullProgress& progress;
  const Pause& pause;  // false: another file failed
};

// Until the blob of `file` is there, whole. What arrived stays as an .incomplete file after a failure.
// Contents with a wrong checksum are removed, and asked for once more from the start.
//
// kDataLoss: the checksum is wrong twice; the message names the file. kResourceExhausted: the disk is full. Else Hub's
// errors.
absl::Status transfer_file(const HubFile& file, const Transfer& transfer);

}  // namespace polymath::commands
