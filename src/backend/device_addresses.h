#pragma once

// Where a backend's devices are, for tools that do not number them as the backend does.

#include <string>
#include <string_view>
#include <vector>

namespace polymath::backend {

// PCI addresses ("0000:1B:00.0") of the devices 0..n_devices-1, as BackendOptions::device counts them; a device without
// one is left out. Empty: the backend computes on the CPU, or is not of this build.
std::vector<std::string> device_addresses(std::string_view backend, int n_devices);

}  // namespace polymath::backend
