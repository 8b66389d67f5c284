#pragma once

// Where every thread of this process is, for the log of a process that is stuck.
//
//   prepare_thread_dump();                                   // once, before it is needed
//   for (const std::string& line : describe_threads()) ...
//
// A line: "1234 engine: state S, in futex_wait_queue: polymath+0x12ab polymath+0x34cd libc.so.6+0x9876". Names of
// functions come from addr2line -Cfpe polymath 0x12ab. A thread that runs no signal handler has no addresses.
//
// Thread safety: one caller at a time.

#include <string>
#include <vector>

namespace polymath::base {

void prepare_thread_dump();

// Waits at most two seconds for all threads together. Interrupts their system calls.
std::vector<std::string> describe_threads();

}  // namespace polymath::base
