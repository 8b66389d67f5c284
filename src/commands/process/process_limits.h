#pragma once

// What the system allows this process: open files, and core dumps.

namespace polymath::commands {

// Raises the limit of open files towards `wanted`. Returns what is allowed now.
int raise_file_limit(int wanted);

// No core file and no debugger of the same user: the memory of this process has clients' prompts and keys.
void forbid_core_dumps();

}  // namespace polymath::commands
