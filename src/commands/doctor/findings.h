#pragma once

// What is wrong with a server, this machine or a model's disk, in plain words, and which flag helps.

#include <string>
#include <vector>

#include "base/status.h"
#include "commands/doctor/exposition.h"

namespace polymath::commands {

enum class Level { kFine, kNote, kProblem };

struct Finding {
  Level level = Level::kNote;
  std::string what;
  std::string help;  // empty: nothing to do
};

// Of a server's /metrics. `now`: seconds since 1970; 0: certificates are not looked at. Empty: nothing is wrong.
std::vector<Finding> findings_of_server(const Exposition& metrics, double now = 0);

// Devices, memory, cores and limits of this machine, for this process.
std::vector<Finding> findings_of_machine();

// How long the weights of a model directory or file take to read. Reads up to 256 MiB, not from the page cache.
// kNotFound: no weights. kInvalidArgument: a file cannot be read.
absl::StatusOr<std::vector<Finding>> findings_of_disk(const std::string& path);
Finding disk_finding(double bytes, double bytes_per_second);

// Problems first. "PROBLEM: ...\n  help: ...\n"
std::string findings_text(std::vector<Finding> findings);

}  // namespace polymath::commands
