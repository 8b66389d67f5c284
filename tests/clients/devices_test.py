"""GPUs in /metrics: with a stand-in for NVIDIA's NVML, and without one."""

import ctypes.util
import re
import socket
import time
import unittest

from serving import FAKE_NVML, Server

# What the MoE serving guide watches, and what DCGM exporter's own dashboard shows.
DCGM_NAMES = ("GPU_UTIL", "FB_USED", "FB_FREE", "GPU_TEMP", "POWER_USAGE", "SM_CLOCK", "MEM_CLOCK", "MEM_COPY_UTIL",
              "TOTAL_ENERGY_CONSUMPTION", "XID_ERRORS")


def gpu_lines(server):
    page = server.request("GET", "/metrics")[1].decode()
    return [line for line in page.splitlines() if re.match("polymath:gpu_|DCGM_", line)]


class DevicesTest(unittest.TestCase):
    def start(self, *flags, **more):
        server = Server(*flags, **more)
        self.addCleanup(server.stop)
        return server

    def test_dcgm_names_of_all_gpus(self):
        server = self.start("--metrics-compat", "dcgm", environment=FAKE_NVML)
        server.wait_for_metric("DCGM_FI_DEV_XID_ERRORS")
        lines = dict(line.rsplit(" ", 1) for line in gpu_lines(server))
        for name in DCGM_NAMES:
            self.assertEqual(len([sample for sample in lines if sample.startswith(f"DCGM_FI_DEV_{name}{{")]), 2, name)
        labels = ('gpu="1",UUID="GPU-00000001",pci_bus_id="00000000:02:00.0",device="nvidia5",modelName="NVIDIA Fake",'
                  f'Hostname="{socket.gethostname()}"')
        self.assertEqual(lines[f"DCGM_FI_DEV_GPU_UTIL{{{labels}}}"], "58")
        self.assertEqual(lines[f"DCGM_FI_DEV_FB_USED{{{labels}}}"], "61440")
        self.assertEqual(lines['polymath:gpu_power_watts{gpu="0",uuid="GPU-00000000",name="NVIDIA Fake"}'], "512.345")

    def test_a_cpu_server_has_none_of_its_own(self):
        server = self.start(environment=FAKE_NVML)
        time.sleep(0.5)
        self.assertEqual(gpu_lines(server), [])

    @unittest.skipIf(ctypes.util.find_library("nvidia-ml"), "this machine has NVML")
    def test_a_machine_without_nvml_says_nothing(self):
        server = self.start("--metrics-compat", "dcgm", environment={"LD_LIBRARY_PATH": "/nowhere"})
        time.sleep(0.5)
        self.assertEqual(gpu_lines(server), [])
        self.assertNotRegex(server.text(), "NVML|libnvidia|GPU")


if __name__ == "__main__":
    unittest.main()
