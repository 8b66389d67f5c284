#pragma once

// What `pull` reads beside the model's name and revision.

#include <string>

namespace polymath::commands {

struct PullOptions {
  std::string file;  // one GGUF file of the repository; empty: the model
  int workers = 8;   // files at once
};

}  // namespace polymath::commands
