#pragma once

// Threads with a name and a last catch.
//
//   std::thread thread = start_thread("engine", [this] { run(); });
//
// A thread that cannot be made, or that runs out of memory, ends the process with a sentence.

#include <exception>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/process/fatal.h"
#include "base/process/thread_name.h"

namespace polymath::base {

// Runs `work`; an exception that leaves it ends the process with a line that has its name.
template <typename Work>
void run_guarded(const char* name, Work& work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    fatal(name, "no memory is left (--kv-cache-memory-bytes and the limits of requests bound what is used); ending");
  } catch (const std::exception& error) {
    fatal(name, error.what());
  }
}

// `name`: at most 15 characters, alive as long as the thread.
template <typename Work>
std::thread start_thread(const char* name, Work work) {
  try {
    return std::thread([name, work = std::move(work)]() mutable {
      name_thread(name);
      run_guarded(name, work);
    });
  } catch (const std::system_error& error) {
    fatal("start", absl::StrCat("the thread `", name, "` cannot be made: ", error.what(),
                                " (ulimit -u, or a limit of the container)"));
  }
}

}  // namespace polymath::base
