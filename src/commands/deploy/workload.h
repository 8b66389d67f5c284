#pragma once

// What a cluster is to run, from the plan: one pod of the model, and what it needs.

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "commands/options.h"

namespace polymath::commands {

struct Workload {
  std::string name, space, image;
  std::string repository;              // that `serve` loads
  std::string storage_class;           // of its volume; empty: the default
  std::vector<std::string> arguments;  // of the container
  std::string instance;                // instance type of the node; empty: any node with such GPUs
  int gpus = 1;                        // of a pod
  int64_t weights = 0;                 // bytes of the model's files, at most
  double load_seconds = 0;             // from a pod's start until it is ready
  double drain_seconds = 0;            // from SIGTERM to the end of the last answer
  int port = 8000, probe_port = 8001;  // answers; probes and metrics
  bool tls = false;                    // on `port`
  bool has_keys = true;                // of the Secret NAME-keys
  int replicas = 1, replicas_max = 1;
  std::vector<std::string> notes;  // what to know: the plan in a line, its warnings

  int64_t startup_seconds() const;                // that the startup probe allows
  int64_t grace_seconds() const;                  // that Kubernetes waits before it kills
  int memory_gib() const;                         // of a container, with /dev/shm
  int shared_memory_gib() const { return gpus; }  // for NCCL's buffers
  int cpus() const { return 4 + 2 * gpus; }
  int volume_gib() const;  // of the model cache
};

// `rest`: more flags of serve. kInvalidArgument, kUnimplemented: what cannot be deployed, and why.
absl::StatusOr<Workload> plan_workload(const Options& options, const std::vector<std::string>& rest);

// "mistralai/Mixtral-8x7B-v0.1" -> "mixtral-8x7b-v0-1", at most 50 bytes.
std::string object_name(std::string_view repository);

}  // namespace polymath::commands
