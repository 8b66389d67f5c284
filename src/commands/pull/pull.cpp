// polymath pull NAME: downloads a model from a Hugging Face hub into its local cache, where every verb finds it.

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/printable.h"
#include "commands/flags/flags.h"
#include "commands/pull/selection.h"
#include "commands/pull/transfer.h"
#include "commands/verbs.h"
#include "weights/hub_cache.h"

namespace polymath::commands {
namespace {

constexpr size_t kPicklesShown = 5;  // in the warning; the rest is counted
constexpr double kPauseStep = 0.1;   // seconds: a stop is seen within them

// What a pull needs, checked before the first request.
struct Pull {
  weights::HubName name;
  std::string revision;
  HubSettings settings;
};

absl::StatusOr<Pull> checked(const Options& options) {
  Pull pull{.name = weights::parse_hub_name(options.model.name), .revision = options.model.revision};
  if (pull.revision.empty()) pull.revision = weights::kDefaultRevision;
  if (weights::hub_folder(pull.name.repository).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(base::printable(options.model.name), ": a repository is named as org/name or org/name:QUANT is"));
  }
  if (!weights::is_plain_name(pull.revision)) {
    return absl::InvalidArgumentError("--revision: only [A-Za-z0-9._-] may stand in it");
  }
  if (!pull.name.quant.empty() && !options.pull.file.empty()) {
    return absl::InvalidArgumentError("name a quantisation or --file, not both");
  }
  ASSIGN_OR_RETURN(pull.settings, HubSettings::from_environment());
  return pull;
}

void warn_about_pickles(const std::vector<std::string>& pickles) {
  if (pickles.empty()) return;
  const size_t n = std::min(pickles.size(), kPicklesShown);
  const std::string names = absl::StrJoin(pickles.begin(), pickles.begin() + static_cast<ptrdiff_t>(n), ", ");
  base::log_warning("pull", "not downloaded: ", pickles.size(),
                    " pickle files, which can run code when they are read: ", base::printable(names),
                    n < pickles.size() ? ", ..." : "");
}

absl::Status check_room(const ModelCache& cache, const std::vector<HubFile>& files) {
  const uint64_t needed = cache.missing_bytes(files);
  ASSIGN_OR_RETURN(const uint64_t free, cache.free_bytes());
  base::log_info("pull", files.size(), " files, ", bytes_text(needed), " to download; the disk has ", bytes_text(free));
  if (needed <= free) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the disk is too small: ", bytes_text(needed), " (", needed, " bytes) are to be downloaded, ", bytes_text(free),
      " (", free, " bytes) are free at ", cache.snapshot("").parent_path().string(), "; HF_HOME names another place"));
}

// Downloads on several threads. The first failure stops the others, and is returned.
class Workers {
 public:
  Workers(const Hub& hub, const ModelCache& cache, const std::string& commit, const Pause& pause,
          std::atomic<bool>& stop)
      : hub_(hub), cache_(cache), commit_(commit), pause_(pause), stop_(stop) {}

  absl::Status run(std::vector<HubFile> files, size_t n_workers) {
    // Large ones first, so that none is left alone at the end.
    std::sort(files.begin(), files.end(), [](const HubFile& a, const HubFile& b) { return a.size > b.size; });
    uint64_t total = 0;
    for (const HubFile& file : files) total += file.size;
    PullProgress progress(total);
    const Transfer transfer{hub_, cache_, commit_, progress, pause_};
    std::atomic<size_t> next = 0;
    const auto work = [&] {
      for (size_t i = next++; i < files.size() && !stop_; i = next++) end_file(transfer_file(files[i], transfer));
    };
    std::vector<std::thread> threads;
    for (size_t i = 0; i < std::min(n_workers, files.size()); ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    return failure_;
  }

 private:
  void end_file(const absl::Status& status) {
    if (status.ok()) return;
    const std::lock_guard lock(mutex_);
    if (failure_.ok()) failure_ = status;
    stop_ = true;
  }

  const Hub& hub_;
  const ModelCache& cache_;
  const std::string& commit_;
  const Pause& pause_;
  std::atomic<bool>& stop_;
  std::mutex mutex_;
  absl::Status failure_;
};

// Files of the same contents are downloaded once.
std::vector<HubFile> distinct(const std::vector<HubFile>& files) {
  std::vector<HubFile> out;
  std::set<std::string> seen;
  std::copy_if(files.begin(), files.end(), std::back_inserter(out),
               [&](const HubFile& file) { return seen.insert(file.checksum).second; });
  return out;
}

// Returns the snapshot's directory.
absl::StatusOr<std::string> pull_model(const Options& options) {
  ASSIGN_OR_RETURN(const Pull pull, checked(options));
  std::atomic<bool> stop = false;
  const Pause pause = [&stop](double seconds) {
    for (double slept = 0; slept < seconds && !stop; slept += kPauseStep) {
      std::this_thread::sleep_for(std::chrono::duration<double>(std::min(kPauseStep, seconds - slept)));
    }
    return !stop;
  };
  const Hub hub(pull.settings, pull.name.repository, pause);
  ASSIGN_OR_RETURN(const std::string commit, hub.commit(pull.revision));
  base::log_info("pull", pull.name.repository, " at ", pull.revision, " is commit ", commit);
  ASSIGN_OR_RETURN(const std::vector<HubFile> files, hub.files(commit));
  ASSIGN_OR_RETURN(const Selection selection,
                   select_files(files, {pull.name.repository, options.pull.file, pull.name.quant}));
  warn_about_pickles(selection.pickles);
  ASSIGN_OR_RETURN(const ModelCache cache, ModelCache::open(pull.name.repository));
  RETURN_IF_ERROR(check_room(cache, selection.files));
  Workers workers(hub, cache, commit, pause, stop);
  RETURN_IF_ERROR(workers.run(distinct(selection.files), static_cast<size_t>(options.pull.workers)));
  RETURN_IF_ERROR(cache.publish(commit, pull.revision, selection.files));
  return cache.snapshot(commit).string();
}

}  // namespace

int pull(const Arguments& arguments) {
  const auto options = parse_flags(kPull, arguments);
  if (!options.ok()) return fail_flags(options.status());
  std::signal(SIGPIPE, SIG_IGN);  // a connection that a server closed is an error of its own
  const auto snapshot = pull_model(*options);
  if (!snapshot.ok()) return fail(snapshot.status());
  base::log_info("pull", "whole and verified; polymath serve ", options->model.name, " finds it");
  std::printf("%s\n", snapshot->c_str());
  return 0;
}

}  // namespace polymath::commands
