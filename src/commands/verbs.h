#pragma once

// The verbs of the command line. Each takes its arguments and returns the process's exit code.
// 0: success. 1: an error, on stderr. 2: a wrong command line.

#include <string>
#include <vector>

#include "base/status.h"

namespace polymath::commands {

inline constexpr const char* kVersion = "0.1.0";

using Arguments = std::vector<std::string>;

int serve(const Arguments& arguments);
int tgi(const Arguments& arguments);
int run(const Arguments& arguments);
int inspect(const Arguments& arguments);
int bench(const Arguments& arguments);
int quantize(const Arguments& arguments);
int kernels(const Arguments& arguments);
int plan(const Arguments& arguments);
int doctor(const Arguments& arguments);
int deploy(const Arguments& arguments);
int migrate(const Arguments& arguments);
int pull(const Arguments& arguments);

// Prints why and returns the exit code.
int fail(const absl::Status& status);
int fail_flags(const absl::Status& status);

}  // namespace polymath::commands
