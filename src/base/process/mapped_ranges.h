#pragma once

// Which file is mapped where, for the sentence of a process that loses a page of it (SIGBUS).
//
// Thread safety: any thread. The handler reads the table without a lock.

#include <cstddef>
#include <string>

namespace polymath::base {

inline constexpr int kMappedRangesMax = 1024;  // more are not remembered: their SIGBUS names no file

// Installs the handler: a line that names the file and the offset, then the process ends with kExitFatal.
void explain_lost_pages();

// Returns the row for forget_mapping(); -1: the table is full.
int remember_mapping(const void* begin, size_t n_bytes, const std::string& path);
void forget_mapping(int row);

}  // namespace polymath::base
