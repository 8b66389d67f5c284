// Every flag. The help has the order of this list.

#include <vector>

#include "commands/flags/flag_tables.h"

namespace polymath::commands {
namespace {

using Table = std::span<const Flag> (*)();
constexpr Table kTables[] = {model_flags, engine_flags, parallel_flags, server_flags,  command_flags, load_flags,
                             plan_flags,  deploy_flags, pull_flags,     refused_flags, newest_flags};

}  // namespace

std::span<const Flag> flag_table() {
  static const auto* const all = [] {
    auto* flags = new std::vector<Flag>();
    for (const Table table : kTables) {
      for (const Flag& flag : table()) flags->push_back(flag);
    }
    return flags;
  }();
  return *all;
}

}  // namespace polymath::commands
