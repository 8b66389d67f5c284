#!/usr/bin/env python3
"""The images of deploy/docker without a container engine. The root file system that they copy is made from the built
binary; the server runs in it as user 65532, on a read-only root, without a shell. What the Dockerfiles say is checked.

    image_test.py BINARY REPOSITORY
"""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

BINARY, REPOSITORY = Path(sys.argv.pop(1)), Path(sys.argv.pop(1))
DOCKERFILES = sorted((REPOSITORY / "deploy/docker").glob("*ockerfile"))
SKIPPED = 77
MOST_BYTES = 150 * 1000 * 1000  # of an image without CUDA's libraries
STARTS_WITHIN = 60  # seconds
USER = "65532:65532"


def can_mount():
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


class Root(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = Path(cls.folder.name) / "root"
        subprocess.run([REPOSITORY / "tools/image_root.sh", BINARY, cls.root], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def files(self):
        return [path for path in self.root.rglob("*") if path.is_file()]

    def test_small_and_without_a_shell(self):
        self.assertLess(sum(path.stat().st_size for path in self.files()), MOST_BYTES)
        programs = [path.name for path in self.files() if path.stat().st_mode & 0o111 and ".so" not in path.name]
        self.assertEqual(programs, ["polymath"])
        for path in self.root.rglob("*"):
            self.assertFalse(path.is_symlink(), path)
            self.assertEqual(path.stat().st_mode & 0o6000, 0, f"{path} is setuid")

    def test_contents_are_listed(self):
        share = self.root / "usr/share/polymath"
        listed = dict(reversed(line.split("  ./")) for line in (share / "files.txt").read_text().splitlines())
        for path in self.files():
            name = str(path.relative_to(self.root))
            if name != "usr/share/polymath/files.txt":
                self.assertEqual(listed.pop(name), hashlib.sha256(path.read_bytes()).hexdigest(), name)
        self.assertEqual(listed, {})
        packages = [line.split()[0] for line in (share / "packages.txt").read_text().splitlines()]
        self.assertIn("libssl-dev", packages)
        self.assertEqual(sorted([*packages, "polymath"]), sorted(os.listdir(share / "licences")))

    def test_serves_on_a_read_only_root(self):
        shutil.copytree(REPOSITORY / "models/polymath-demo", self.root / "models/demo")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, "sh", self.root]
        command += ["chroot", f"--userspec={USER}", self.root, "/usr/bin/polymath", "serve", "/models/demo"]
        server = subprocess.Popen([*command, "--port", str(port)], env={"HF_HOME": "/models"})
        try:
            base = f"http://127.0.0.1:{port}"
            self.wait_for(server, base + "/ready")
            body = {"model": "/models/demo", "prompt": "Once", "max_tokens": 4}
            request = urllib.request.Request(
                base + "/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=STARTS_WITHIN) as answer:
                self.assertEqual(json.load(answer)["usage"]["completion_tokens"], 4)
            status = Path(f"/proc/{server.pid}/status").read_text()
            self.assertRegex(status, r"Uid:\s+65532")
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(STARTS_WITHIN), 0)
        finally:
            server.kill()
            server.wait()

    def wait_for(self, server, url):
        end = time.monotonic() + STARTS_WITHIN
        while True:
            self.assertIsNone(server.poll(), "the server ended")
            self.assertLess(time.monotonic(), end, f"no answer of {url}")
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return
            except OSError:
                time.sleep(0.1)

    def test_dockerfiles(self):
        presets = json.loads((REPOSITORY / "CMakePresets.json").read_text())["buildPresets"]
        names = {preset["name"] for preset in presets}
        self.assertEqual(len(DOCKERFILES), 2)
        for path in DOCKERFILES:
            with self.subTest(path.name):
                text = path.read_text()
                last = text[text.rindex("\nFROM ") :]
                self.assertTrue(last.startswith("\nFROM scratch\n"), "an image with a shell")
                self.assertEqual(re.findall(r"^USER (.*)$", last, re.M), [USER])
                self.assertEqual(re.findall(r"^ENTRYPOINT (.*)$", last, re.M), ['["/usr/bin/polymath"]'])
                self.assertEqual(re.findall(r"^EXPOSE (.*)$", last, re.M), ["8000"])
                self.assertTrue((self.root / re.search(r"HF_HOME=/(\w+)", last)[1]).is_dir())
                for preset in re.findall(r"--preset (\S+)", text):
                    self.assertIn(preset, names)
                for script in re.findall(r"(tools/\w+\.sh)", text):
                    self.assertTrue(os.access(REPOSITORY / script, os.X_OK), script)

    def test_deploy_names_the_image(self):
        tags = {re.search(r"docker build .* -t (\S+) \.", path.read_text())[1] for path in DOCKERFILES}
        manifests = subprocess.run([BINARY, "deploy", "mixtral-8x7b"], capture_output=True, text=True, check=False)
        image = re.search(r"image: (polymath:\S+)", manifests.stdout)
        self.assertIsNotNone(image, manifests.stderr)
        self.assertIn(image[1], tags)


if __name__ == "__main__":
    if not can_mount():
        print("skipped: needs root and mounts of its own")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
