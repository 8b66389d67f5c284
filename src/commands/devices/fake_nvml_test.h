#pragma once

// The NVML of tests/devices/fake_nvml.cpp, and its switches.

#include <dlfcn.h>

#include "base/check.h"

namespace polymath::commands {

// A machine with two GPUs. What a test sets is undone by the next FakeNvml.
class FakeNvml {
 public:
  explicit FakeNvml(const char* path = FAKE_NVML) : path_(path), library_(dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    CHECK(library_ != nullptr);
    reinterpret_cast<void (*)()>(dlsym(library_, "fake_nvml_reset"))();
  }
  ~FakeNvml() { dlclose(library_); }
  FakeNvml(const FakeNvml&) = delete;
  FakeNvml& operator=(const FakeNvml&) = delete;

  const char* path() const { return path_; }
  static constexpr int kHang = -1;  // until the function is set again
  void set(const char* function, int code) {
    reinterpret_cast<void (*)(const char*, int)>(dlsym(library_, "fake_nvml_set"))(function, code);
  }
  // The second GPU reports this error next.
  void make_error(unsigned long long xid) {
    reinterpret_cast<void (*)(unsigned long long)>(dlsym(library_, "fake_nvml_error"))(xid);
  }

 private:
  const char* path_;
  void* library_;
};

}  // namespace polymath::commands
