#include "commands/devices/nvml.h"

#include <dlfcn.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace polymath::commands {
namespace {

using Handle = void*;  // nvmlDevice_t, nvmlEventSet_t
using U32 = unsigned int;
using U64 = unsigned long long;

constexpr int kSuccess = 0;
constexpr U32 kGpusMax = 64;                     // more are left out
constexpr int kErrorsMax = 64;                   // taken in one reading
constexpr U32 kNameBytes = 96;                   // NVML_DEVICE_UUID_V2_BUFFER_SIZE, the longest of names
constexpr int kDie = 0;                          // NVML_TEMPERATURE_GPU
constexpr int kSmClock = 1, kMemoryClock = 2;    // nvmlClockType_t
constexpr int kCorrected = 0, kUncorrected = 1;  // nvmlMemoryErrorType_t
constexpr int kVolatile = 0;                     // nvmlEccCounterType_t: since the driver was loaded
constexpr U32 kMemoryTemperature = 82;           // NVML_FI_DEV_MEMORY_TEMP
constexpr U64 kXidEvents = 8;                    // nvmlEventTypeXidCriticalError

// Structures that carry a version have it with their size.
constexpr U32 version_of(size_t bytes, U32 version) { return static_cast<U32>(bytes) | version << 24; }

struct Utilization {  // nvmlUtilization_t
  U32 gpu = 0, memory = 0;
};
struct Memory {  // nvmlMemory_t
  U64 total = 0, free = 0, used = 0;
};
struct Memory2 {  // nvmlMemory_v2_t
  U32 version = version_of(sizeof(Memory2), 2);
  U64 total = 0, reserved = 0, free = 0, used = 0;
};
struct Temperature {  // nvmlTemperature_v1_t
  U32 version = version_of(sizeof(Temperature), 1);
  int sensor = kDie, degrees = 0;
};
struct PciInfo {  // nvmlPciInfo_t
  char legacy_address[16] = {};
  U32 domain = 0, bus = 0, device = 0, device_id = 0, subsystem_id = 0;
  char address[32] = {};
};
struct FieldValue {  // nvmlFieldValue_t
  U32 field = 0, scope = 0;
  long long timestamp = 0, latency = 0;
  int type = 0, result = 0;
  union {
    double real;
    U32 u32;
    U64 u64 = 0;
  } value;
};
struct Event {  // nvmlEventData_t
  Handle gpu = nullptr;
  U64 type = 0, data = 0;
  U32 instance = 0, compute_instance = 0;
};

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
}

// False also where the driver lacks the function.
template <typename... Parameters, typename... Arguments>
bool call(int (*function)(Parameters...), Arguments... arguments) {
  return function != nullptr && function(arguments...) == kSuccess;
}

// The number that a function writes behind its other arguments.
template <typename Number, typename Function, typename... Arguments>
GpuReading::Value value(Function function, Arguments... arguments) {
  Number n = 0;
  return call(function, arguments..., &n) ? GpuReading::Value(static_cast<double>(n)) : std::nullopt;
}

std::string text(int (*function)(Handle, char*, U32), Handle gpu) {
  char name[kNameBytes] = {};
  if (!call(function, gpu, name, kNameBytes)) return "";
  return {name, std::find(name, std::end(name), '\0')};
}

}  // namespace

// Null: this driver lacks it.
struct Nvml::Functions {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(U32*) = nullptr;
  int (*gpu_of_index)(U32, Handle*) = nullptr;
  int (*gpu_of_address)(const char*, Handle*) = nullptr;
  int (*index)(Handle, U32*) = nullptr;
  int (*uuid)(Handle, char*, U32) = nullptr;
  int (*name)(Handle, char*, U32) = nullptr;
  int (*minor_number)(Handle, U32*) = nullptr;
  int (*pci_info)(Handle, PciInfo*) = nullptr;
  int (*utilization)(Handle, Utilization*) = nullptr;
  int (*memory)(Handle, Memory*) = nullptr;
  int (*memory2)(Handle, Memory2*) = nullptr;
  int (*temperature)(Handle, int sensor, U32*) = nullptr;
  int (*temperature_v)(Handle, Temperature*) = nullptr;
  int (*power)(Handle, U32*) = nullptr;
  int (*power_limit)(Handle, U32*) = nullptr;
  int (*energy)(Handle, U64*) = nullptr;
  int (*clock)(Handle, int which, U32*) = nullptr;
  int (*clock_limits)(Handle, U64*) = nullptr;
  int (*pcie_replays)(Handle, U32*) = nullptr;
  int (*ecc_errors)(Handle, int kind, int since, U64*) = nullptr;
  int (*remapped_rows)(Handle, U32* corrected, U32* uncorrected, U32* pending, U32* failed) = nullptr;
  int (*fields)(Handle, int n, FieldValue*) = nullptr;
  int (*make_events)(Handle*) = nullptr;
  int (*add_events)(Handle gpu, U64 types, Handle events) = nullptr;
  int (*next_event)(Handle events, Event*, U32 milliseconds) = nullptr;
  int (*free_events)(Handle events) = nullptr;

  explicit Functions(void* library) {
    find(library, "nvmlInit_v2", init);
    find(library, "nvmlShutdown", shutdown);
    find(library, "nvmlDeviceGetCount_v2", count);
    find(library, "nvmlDeviceGetHandleByIndex_v2", gpu_of_index);
    find(library, "nvmlDeviceGetHandleByPciBusId_v2", gpu_of_address);
    find(library, "nvmlDeviceGetIndex", index);
    find(library, "nvmlDeviceGetUUID", uuid);
    find(library, "nvmlDeviceGetName", name);
    find(library, "nvmlDeviceGetMinorNumber", minor_number);
    find(library, "nvmlDeviceGetPciInfo_v3", pci_info);
    find_readings(library);
    find(library, "nvmlEventSetCreate", make_events);
    find(library, "nvmlDeviceRegisterEvents", add_events);
    find(library, "nvmlEventSetWait_v2", next_event);
    find(library, "nvmlEventSetFree", free_events);
  }

  void find_readings(void* library) {
    find(library, "nvmlDeviceGetUtilizationRates", utilization);
    find(library, "nvmlDeviceGetMemoryInfo", memory);
    find(library, "nvmlDeviceGetMemoryInfo_v2", memory2);
    find(library, "nvmlDeviceGetTemperature", temperature);
    find(library, "nvmlDeviceGetTemperatureV", temperature_v);
    find(library, "nvmlDeviceGetPowerUsage", power);
    find(library, "nvmlDeviceGetEnforcedPowerLimit", power_limit);
    find(library, "nvmlDeviceGetTotalEnergyConsumption", energy);
    find(library, "nvmlDeviceGetClockInfo", clock);
    find(library, "nvmlDeviceGetCurrentClocksEventReasons", clock_limits);
    if (clock_limits == nullptr) find(library, "nvmlDeviceGetCurrentClocksThrottleReasons", clock_limits);
    find(library, "nvmlDeviceGetPcieReplayCounter", pcie_replays);
    find(library, "nvmlDeviceGetTotalEccErrors", ecc_errors);
    find(library, "nvmlDeviceGetRemappedRows", remapped_rows);
    find(library, "nvmlDeviceGetFieldValues", fields);
  }

  void read_memory(Handle gpu, GpuReading& r) const {
    Memory2 newer;
    Memory older;
    if (call(memory2, gpu, &newer)) {
      r.memory_reserved = static_cast<double>(newer.reserved);
      older = {newer.total, newer.free, newer.used};
    } else if (!call(memory, gpu, &older)) {
      return;
    }
    r.memory_total = static_cast<double>(older.total);
    r.memory_free = static_cast<double>(older.free);
    r.memory_used = static_cast<double>(older.used);
  }

  void read_temperatures(Handle gpu, GpuReading& r) const {
    Temperature newer;
    if (call(temperature_v, gpu, &newer)) {
      r.temperature = newer.degrees;
    } else {
      r.temperature = value<U32>(temperature, gpu, kDie);
    }
    FieldValue field;
    field.field = kMemoryTemperature;
    if (call(fields, gpu, 1, &field) && field.result == kSuccess) r.memory_temperature = field.value.u32;
  }

  void read_health(Handle gpu, GpuReading& r) const {
    r.pcie_replays = value<U32>(pcie_replays, gpu);
    r.ecc_corrected = value<U64>(ecc_errors, gpu, kCorrected, kVolatile);
    r.ecc_uncorrected = value<U64>(ecc_errors, gpu, kUncorrected, kVolatile);
    U32 corrected = 0, uncorrected = 0, pending = 0, failed = 0;
    if (!call(remapped_rows, gpu, &corrected, &uncorrected, &pending, &failed)) return;
    r.rows_corrected = corrected;
    r.rows_uncorrected = uncorrected;
    r.rows_pending = pending;
    r.rows_failed = failed;
  }

  void read(Handle gpu, GpuReading& r) const {
    Utilization shares;
    if (call(utilization, gpu, &shares)) {
      r.utilization = shares.gpu;
      r.memory_utilization = shares.memory;
    }
    read_memory(gpu, r);
    read_temperatures(gpu, r);
    r.power = value<U32>(power, gpu);
    r.power_limit = value<U32>(power_limit, gpu);
    r.energy = value<U64>(energy, gpu);
    r.sm_clock = value<U32>(clock, gpu, kSmClock);
    r.memory_clock = value<U32>(clock, gpu, kMemoryClock);
    r.clock_limits = value<U64>(clock_limits, gpu);
    read_health(gpu, r);
  }
};

struct Nvml::Gpu {
  Handle handle = nullptr;
  GpuReading names;  // and the last error; no other value
};

Nvml::Nvml(std::unique_ptr<Functions> functions) : nvml_(std::move(functions)) {}

Nvml::~Nvml() {
  if (events_ != nullptr) call(nvml_->free_events, events_);
  call(nvml_->shutdown);
}

absl::StatusOr<std::unique_ptr<Nvml>> Nvml::open(const std::string& library,
                                                 const std::vector<std::string>& pci_addresses) {
  void* const opened = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) return absl::FailedPreconditionError(absl::StrCat("NVML cannot be used: ", dlerror()));
  auto functions = std::make_unique<Functions>(opened);
  if (functions->init == nullptr) return absl::FailedPreconditionError("the library has no nvmlInit_v2");
  const int code = functions->init();
  if (code != kSuccess) return absl::FailedPreconditionError(absl::StrCat("nvmlInit_v2 returned ", code));
  std::unique_ptr<Nvml> nvml(new Nvml(std::move(functions)));
  nvml->find_gpus(pci_addresses);
  if (nvml->gpus_.empty()) return absl::FailedPreconditionError("NVML shows no GPU");
  nvml->watch_errors();
  return nvml;
}

void Nvml::find_gpus(const std::vector<std::string>& pci_addresses) {
  Handle gpu = nullptr;
  for (const std::string& address : pci_addresses) {
    if (call(nvml_->gpu_of_address, address.c_str(), &gpu)) add_gpu(gpu);
  }
  U32 n = 0;
  if (pci_addresses.empty() && !call(nvml_->count, &n)) return;
  for (U32 i = 0; i < std::min(n, kGpusMax); ++i) {
    if (call(nvml_->gpu_of_index, i, &gpu)) add_gpu(gpu);
  }
  std::sort(gpus_.begin(), gpus_.end(), [](const Gpu& a, const Gpu& b) { return a.names.index < b.names.index; });
}

void Nvml::add_gpu(void* handle) {
  Gpu gpu;
  gpu.handle = handle;
  call(nvml_->index, handle, &gpu.names.index);
  gpu.names.uuid = text(nvml_->uuid, handle);
  gpu.names.name = text(nvml_->name, handle);
  U32 minor = 0;
  if (call(nvml_->minor_number, handle, &minor)) gpu.names.node = absl::StrCat("nvidia", minor);
  PciInfo pci;
  if (call(nvml_->pci_info, handle, &pci)) {
    gpu.names.pci_address.assign(pci.address, std::find(pci.address, std::end(pci.address), '\0'));
  }
  gpus_.push_back(std::move(gpu));
}

void Nvml::watch_errors() {
  if (nvml_->next_event == nullptr || !call(nvml_->make_events, &events_)) return;
  for (Gpu& gpu : gpus_) {
    if (call(nvml_->add_events, gpu.handle, kXidEvents, events_)) gpu.names.last_xid = 0;
  }
}

void Nvml::read_errors() {
  if (events_ == nullptr) return;
  for (int i = 0; i < kErrorsMax; ++i) {
    Event event;
    if (!call(nvml_->next_event, events_, &event, 0u)) return;  // mostly a time-out: there is none
    if (event.type != kXidEvents) continue;
    for (Gpu& gpu : gpus_) {
      if (gpu.handle == event.gpu) gpu.names.last_xid = static_cast<double>(event.data);
    }
  }
}

std::vector<GpuReading> Nvml::read() {
  read_errors();
  std::vector<GpuReading> readings;
  for (const Gpu& gpu : gpus_) nvml_->read(gpu.handle, readings.emplace_back(gpu.names));
  return readings;
}

}  // namespace polymath::commands
