#include "commands/progress.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/clock.h"
#include "base/log.h"

namespace polymath::commands {

std::function<void(size_t, size_t)> loading_progress() {
  const bool bar = isatty(STDERR_FILENO) == 1;
  constexpr double kSilenceSeconds = 1;  // a load this short needs no lines
  return [bar, shown = -1, said = base::steady_seconds()](size_t done, size_t total) mutable {
    const int percent =
        total == 0 ? 100 : static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(total));
    const int step = bar ? percent : percent / 10;
    if (step == shown) return;
    shown = step;
    if (!bar) {
      if (base::steady_seconds() - said < kSilenceSeconds) return;
      said = base::steady_seconds();
      base::log_info("serve", "loading: ", percent, " %");
      return;
    }
    constexpr int kWidth = 40;
    const std::string filled(static_cast<size_t>(percent * kWidth / 100), '#');
    const std::string rest(kWidth - filled.size(), '.');
    std::fprintf(stderr, "\rloading [%s%s] %3d %%%s", filled.c_str(), rest.c_str(), percent,
                 percent == 100 ? "\n" : "");
  };
}

}  // namespace polymath::commands
