// NVML of a machine with two GPUs, whose values are constant. A test makes functions fail or hang by fake_nvml_set().

#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

namespace {

constexpr int kInvalidArgument = 2, kNotSupported = 3;
constexpr int kHang = -1;
constexpr unsigned kGpus = 2;

std::mutex mutex;
std::condition_variable changed;
std::map<std::string, int> codes;  // by function; absent: success
unsigned long long pending_error = 0;

// What a function is to return. A hanging one waits until it is set again.
int code_of(const char* function) {
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return codes[function] != kHang; });
  return codes[function];
}

char gpus[kGpus];  // their addresses are the handles
unsigned index_of(const void* gpu) { return static_cast<unsigned>(static_cast<const char*>(gpu) - gpus); }

int give_text(const char* function, const std::string& text, char* to, unsigned size) {
  if (size <= text.size()) return kInvalidArgument;
  std::strcpy(to, text.c_str());
  return code_of(function);
}

template <typename Number, typename Value>
int give(const char* function, Number* to, Value value) {
  *to = static_cast<Number>(value);
  return code_of(function);
}

}  // namespace

extern "C" {

void fake_nvml_reset() {
  const std::lock_guard lock(mutex);
  codes.clear();
  pending_error = 0;
  changed.notify_all();
}

void fake_nvml_set(const char* function, int code) {
  const std::lock_guard lock(mutex);
  codes[function] = code;
  changed.notify_all();
}

// The next event, of the second GPU.
void fake_nvml_error(unsigned long long xid) {
  const std::lock_guard lock(mutex);
  pending_error = xid;
}

int nvmlInit_v2() { return code_of(__func__); }
int nvmlShutdown() { return code_of(__func__); }
int nvmlDeviceGetCount_v2(unsigned* n) { return give(__func__, n, kGpus); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** gpu) {
  if (index >= kGpus) return kInvalidArgument;
  *gpu = &gpus[index];
  return code_of(__func__);
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* address, void** gpu) {
  unsigned domain = 0, bus = 0;
  if (std::sscanf(address, "%x:%x:00.0", &domain, &bus) != 2 || bus == 0 || bus > kGpus) return kInvalidArgument;
  *gpu = &gpus[bus - 1];
  return code_of(__func__);
}
int nvmlDeviceGetIndex(void* gpu, unsigned* index) { return give(__func__, index, index_of(gpu)); }
int nvmlDeviceGetUUID(void* gpu, char* uuid, unsigned size) {
  return give_text(__func__, "GPU-0000000" + std::to_string(index_of(gpu)), uuid, size);
}
int nvmlDeviceGetName(void*, char* name, unsigned size) { return give_text(__func__, "NVIDIA Fake", name, size); }
int nvmlDeviceGetMinorNumber(void* gpu, unsigned* minor) { return give(__func__, minor, index_of(gpu) + 4); }

struct PciInfo {
  char legacy[16];
  unsigned numbers[5];
  char address[32];
};
int nvmlDeviceGetPciInfo_v3(void* gpu, PciInfo* pci) {
  std::snprintf(pci->address, sizeof(pci->address), "00000000:%02X:00.0", index_of(gpu) + 1);
  return code_of(__func__);
}

int nvmlDeviceGetUtilizationRates(void* gpu, unsigned* shares) {
  shares[0] = 57 + index_of(gpu);
  shares[1] = 29;
  return code_of(__func__);
}
int nvmlDeviceGetMemoryInfo(void*, unsigned long long* bytes) {
  bytes[0] = 100ull << 30;  // total, free, used
  bytes[1] = 39ull << 30;
  bytes[2] = 61ull << 30;
  return code_of(__func__);
}
int nvmlDeviceGetPowerUsage(void* gpu, unsigned* milliwatts) {
  return give(__func__, milliwatts, 512345 + index_of(gpu));
}
int nvmlDeviceGetEnforcedPowerLimit(void*, unsigned* milliwatts) { return give(__func__, milliwatts, 700000); }
int nvmlDeviceGetClockInfo(void*, int which, unsigned* mhz) {
  return give(__func__, mhz, which == 1 ? 1980 : which == 2 ? 3201 : 0);
}
int nvmlDeviceGetPcieReplayCounter(void*, unsigned* n) { return give(__func__, n, 3); }
int nvmlDeviceGetTotalEccErrors(void*, int kind, int since, unsigned long long* n) {
  if (since != 0) return kNotSupported;
  return give(__func__, n, kind == 0 ? 5 : 1);
}
int nvmlDeviceGetRemappedRows(void*, unsigned* corrected, unsigned* uncorrected, unsigned* pending, unsigned* failed) {
  *corrected = 2;
  *uncorrected = 4;
  *pending = 1;
  *failed = 0;
  return code_of(__func__);
}

#if FAKE_NVML_OLD

int nvmlDeviceGetTemperature(void*, int sensor, unsigned* degrees) {
  return give(__func__, degrees, sensor == 0 ? 48 : 0);
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* bits) { return give(__func__, bits, 0x44); }

#else

constexpr int kSuccess = 0, kTimeout = 10, kVersionMismatch = 25;

struct Memory2 {
  unsigned version;
  unsigned long long total, reserved, free, used;
};
int nvmlDeviceGetMemoryInfo_v2(void*, Memory2* memory) {
  if (memory->version != (sizeof(Memory2) | 2 << 24)) return kVersionMismatch;
  *memory = {memory->version, 100ull << 30, 1ull << 30, 39ull << 30, 60ull << 30};
  return code_of(__func__);
}
struct Temperature {
  unsigned version;
  int sensor, degrees;
};
int nvmlDeviceGetTemperatureV(void*, Temperature* temperature) {
  if (temperature->version != (sizeof(Temperature) | 1 << 24)) return kVersionMismatch;
  temperature->degrees = temperature->sensor == 0 ? 48 : 0;
  return code_of(__func__);
}
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* millijoules) {
  return give(__func__, millijoules, 123456789500ull);
}
int nvmlDeviceGetCurrentClocksEventReasons(void*, unsigned long long* bits) { return give(__func__, bits, 0x44); }

struct FieldValue {
  unsigned field, scope;
  long long timestamp, latency;
  unsigned type, result;
  unsigned long long value;
};
int nvmlDeviceGetFieldValues(void*, int n, FieldValue* values) {
  for (int i = 0; i < n; ++i) {
    values[i].result = values[i].field == 82 ? kSuccess : kNotSupported;
    values[i].type = 1;
    values[i].value = 61;
  }
  return code_of(__func__);
}

struct Event {
  void* gpu;
  unsigned long long type, data;
  unsigned instances[2];
};
int nvmlEventSetCreate(void** set) {
  *set = &pending_error;
  return code_of(__func__);
}
int nvmlEventSetFree(void*) { return code_of(__func__); }
int nvmlDeviceRegisterEvents(void*, unsigned long long types, void*) {
  return types == 8 ? code_of(__func__) : kInvalidArgument;
}
int nvmlEventSetWait_v2(void*, Event* event, unsigned) {
  const std::lock_guard lock(mutex);
  if (pending_error == 0) return kTimeout;
  *event = {&gpus[1], 8, pending_error, {}};
  pending_error = 0;
  return kSuccess;
}

#endif

}  // extern "C"
