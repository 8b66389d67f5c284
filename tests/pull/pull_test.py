"""polymath pull against a hub of our own: layout, resume, checksums, refusals; then serve and huggingface_hub offline."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from hub import COMMIT, Hub, checksum, sha256  # noqa: E402

POLYMATH, ROOT = os.environ["POLYMATH"], Path(os.environ["POLYMATH_ROOT"])
STAND_IN = Path(os.environ["POLYMATH_STAND_IN"])
SECONDS = 60

BIG = random.Random(7).randbytes(3 << 20)
FILES = {
    "config.json": b'{"architectures": ["MixtralForCausalLM"]}',
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "empty.txt": b"",
    "README.md": b"# not needed",
    "model-00001-of-00002.safetensors": BIG,
    "model-00002-of-00002.safetensors": BIG[::-1],
    "model.safetensors.index.json": b'{"weight_map": {}}',
    "original/consolidated.00.pth": b"pickle",
    "pytorch_model.bin": b"pickle",
}
WANTED = ["chat_template.jinja", "config.json", "empty.txt", "model-00001-of-00002.safetensors",
          "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json"]
FIRST = "model-00001-of-00002.safetensors"


class Pulls(unittest.TestCase):
    def setUp(self):
        self.home = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.hub = None

    def serve(self, files=FILES, **options):
        self.hub = Hub(files, **options)
        self.addCleanup(self.hub.close)
        return self.hub

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "VLLM_", "XDG_"))}
        hub = {"HF_ENDPOINT": self.hub.url} if self.hub else {}
        return {**kept, "HF_HOME": str(self.home), **hub, "HF_HUB_DOWNLOAD_TIMEOUT": "5", **more}

    def start(self, *arguments, **more):
        command = [POLYMATH, "pull", *arguments]
        return subprocess.Popen(command, env=self.environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, process):
        out, self.said = process.communicate(timeout=SECONDS)
        return process.returncode, out.strip()

    def pull(self, *arguments, **more):
        """The snapshot."""
        code, out = self.end(self.start(*(arguments or ["org/model"]), **more))
        self.assertEqual(code, 0, self.said)
        return Path(out)

    def refused(self, *arguments, **more):
        code, out = self.end(self.start(*(arguments or ["org/model"]), **more))
        self.assertEqual((code, out), (1, ""), self.said)
        return self.said

    @property
    def folder(self):
        return self.home / "hub/models--org--model"

    def check_whole(self, names=WANTED):
        snapshot = self.folder / "snapshots" / COMMIT
        found = sorted(p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if not p.is_dir())
        self.assertEqual(found, sorted(names))
        for name in names:
            data, link = self.hub.files[name], snapshot / name
            self.assertEqual(link.read_bytes(), data)
            depth = "../" * (2 + name.count("/"))
            self.assertEqual(os.readlink(link), f"{depth}blobs/{checksum(name, data)}")
        self.assertEqual((self.folder / "refs/main").read_text(), COMMIT)
        self.assertEqual(list(self.folder.glob("blobs/*.incomplete")), [])


class Layout(Pulls):
    def test_a_model(self):
        self.serve()
        self.assertEqual(self.pull(), self.folder / "snapshots" / COMMIT)
        self.check_whole()
        self.assertIn("not downloaded: 2 pickle files", self.said)
        self.assertNotIn("pytorch_model.bin", str(self.hub.requests))

    def test_again_downloads_nothing(self):
        hub = self.serve()
        self.pull()
        sent = dict(hub.sent)
        self.pull()
        self.assertEqual(dict(hub.sent), sent)

    def test_a_commit_and_pages(self):
        self.serve().page_size = 3
        self.pull("org/model", "--revision", COMMIT)
        self.assertFalse((self.folder / "refs/main").exists())
        self.pull()
        self.check_whole()

    def test_gguf_by_quantisation_and_by_file(self):
        files = {"m-Q4_K_M.gguf": b"4", "Q8_0/m-Q8_0-00001-of-00002.gguf": b"8a", "Q8_0/m-Q8_0-00002-of-00002.gguf": b"8b",
                 "mmproj-f16.gguf": b"v", "config.json": b"{}"}
        self.serve(files)
        self.assertIn("has several GGUF models; name one with --file or org/model:QUANT", self.refused())
        self.pull("org/model:q8_0")
        self.check_whole([name for name in files if name.startswith("Q8_0/")])
        self.pull("org/model", "--file", "m-Q4_K_M.gguf")
        self.assertIn("m-Q4_K_M.gguf", self.refused("org/model:Q2_K"))
        self.assertIn("has no file", self.refused("org/model", "--file", "x.gguf"))

    def test_two_at_once(self):
        hub = self.serve()
        hub.piece_seconds = 0.002
        both = [self.start("org/model") for _ in range(2)]
        for process in both:
            self.assertEqual(self.end(process)[0], 0, self.said)
        self.check_whole()
        self.assertEqual(hub.sent[FIRST], len(BIG))


class Resumes(Pulls):
    def test_interrupted_twice(self):
        hub = self.serve()
        hub.piece_seconds = 0.01
        partial = self.folder / "blobs" / (sha256(BIG) + ".incomplete")
        sizes = [0]
        for _ in range(2):
            process = self.start("org/model")
            end = time.monotonic() + SECONDS
            while time.monotonic() < end and (not partial.exists() or partial.stat().st_size < sizes[-1] + (256 << 10)):
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            self.end(process)
            sizes.append(partial.stat().st_size)
            self.assertFalse((self.folder / "refs/main").exists())  # a part is no model
        self.assertTrue(0 < sizes[1] < sizes[2] < len(BIG), sizes)
        hub.piece_seconds = 0
        self.pull()
        self.check_whole()
        ranges = [headers["Range"] for path, headers in hub.of_host("store") if FIRST in path and "Range" in headers]
        self.assertEqual(ranges, [f"bytes={sizes[1]}-", f"bytes={sizes[2]}-"])
        self.assertIn(f"{FIRST}: resumed at", self.said)

    def test_cut_connections(self):
        hub = self.serve()
        hub.cuts[FIRST] = [100_000, 200_000, 0]
        self.pull()
        self.check_whole()
        self.assertEqual(hub.sent[FIRST], len(BIG))

    def test_a_server_without_ranges(self):
        hub = self.serve()
        hub.ignores_range = True
        hub.cuts[FIRST] = [100_000]
        self.pull()
        self.check_whole()

    def test_silence(self):
        hub = self.serve()
        hub.silences = 2
        self.pull("org/model", HF_HUB_DOWNLOAD_TIMEOUT="0.5")
        self.check_whole()
        self.assertIn("no byte for 0.5 s", self.said)


class Checksums(Pulls):
    def test_a_corrupt_byte_is_named(self):
        for name, kind in [(FIRST, "sha256"), ("tokenizer.json", "git sha1")]:
            with self.subTest(name):
                hub = self.serve()
                hub.corrupt[name] = [1, 100]
                said = self.refused()
                self.assertIn(f"{name} is corrupt: its {kind} is", said)
                self.assertIn(f"the hub says {checksum(name, FILES[name])}", said)
                self.assertFalse((self.folder / "blobs" / checksum(name, FILES[name])).exists())
                self.assertFalse((self.folder / "snapshots" / COMMIT).exists())
                hub.corrupt = {}
                self.pull()  # and nothing of it is left
                self.check_whole()
                hub.close()
                subprocess.run(["rm", "-r", self.folder], check=True)

    def test_a_part_that_is_wrong_on_disk_heals(self):
        self.serve()
        self.pull()
        blob = self.folder / "blobs" / sha256(BIG)
        blob.unlink()
        Path(str(blob) + ".incomplete").write_bytes(b"x" * 1000)
        self.pull()
        self.check_whole()
        self.assertIn(f"{FIRST} is corrupt", self.said)


class Refusals(Pulls):
    def test_what_the_hub_refuses(self):
        hub = self.serve()
        hub.token = "hf_right"
        self.assertIn("or it is private: set HF_TOKEN", self.refused())
        self.assertIn("the token that is set may not read it", self.refused(HF_TOKEN="hf_wrong"))
        for more in [{"HF_TOKEN": "hf_right"}, {"HUGGING_FACE_HUB_TOKEN": "hf_right"}]:
            self.pull(**more)
            self.assertNotIn("hf_right", self.said)
        (self.home / "token").write_text("hf_right\n")
        self.pull()
        self.assertIn("has no such revision", self.refused("org/model", "--revision", "v9"))
        self.assertIn("there is no repository", self.refused("org/other"))
        hub.gated = True
        self.assertIn(f"org/model is gated: accept its terms at {hub.url}/org/model", self.refused())

    def test_the_token_stays_at_the_hub(self):
        hub = self.serve()
        hub.token = "hf_right"
        self.pull(HF_TOKEN="hf_right")
        self.assertEqual({h["Authorization"] for _, h in hub.of_host("hub")}, {"Bearer hf_right"})
        self.assertGreaterEqual(len(hub.of_host("store")), 2)
        self.assertFalse(any("Authorization" in h for _, h in hub.of_host("store")))

    def test_failures_that_pass(self):
        hub = self.serve()
        hub.refusals["/api/models/org/model/revision"] = [(429, {"Retry-After": "1"}), (503, {})]
        hub.refusals[f"/{FIRST}"] = [(500, {}), (403, {})]  # the second as an expired signature
        begun = time.monotonic()
        self.pull()
        self.assertGreater(time.monotonic() - begun, 1)
        self.check_whole()
        self.assertIn("answered 429; again in 1 s", self.said)

    def test_redirects_end(self):
        hub = self.serve()
        hub.location = f"{hub.url}/org/model/resolve/{COMMIT}/{FIRST}"
        self.assertIn("redirects more than 5 times", self.refused())
        hub.location = "ftp://127.0.0.1/x"
        self.assertIn("is no URL", self.refused())

    def test_pickle_alone(self):
        self.serve({"config.json": b"{}", "pytorch_model.bin": b"x", "a/x.ckpt": b"y"})
        self.assertIn("as pickle files alone, which can run code", self.refused())
        self.assertFalse(self.folder.exists())

    def test_hostile_listings(self):
        hub = self.serve()
        good = {"type": "file", "oid": "0" * 40, "size": 1}
        for path, why in [("../x.json", "a part of it is empty"), ("/etc/x.json", "absolute"), ("a/../../x.json", "a part"),
                          ("a//x.json", "a part"), ("a\\x.json", "backslash"), ("a\x1bx.json", "control"),
                          ("x" * 2000, "1 to 1024 bytes"), ("x" * 300, "too long")]:
            hub.listing = [{**good, "path": path}]
            self.assertIn(why, self.refused())
        for listing, why in [([{**good, "path": "a"}] * 2, "twice"), ({"error": 1}, "no array"), ([1], "no object"),
                             ([{**good, "path": "a", "oid": "../x"}], "no git sha1"),
                             ([{**good, "path": "a", "size": -1}], "a size of -1"),
                             ([{**good, "path": f"{i}.json"} for i in range(20001)], "more than 20000 files")]:
            hub.listing = listing
            hub.page_size = 30000
            self.assertIn(why, self.refused())
        self.assertFalse(self.folder.exists())

    def test_a_disk_that_is_too_small(self):
        hub = self.serve()
        hub.listing = [{"type": "file", "path": "m.safetensors", "oid": "0" * 40, "size": 1,
                        "lfs": {"oid": "0" * 64, "size": 1 << 45}}]
        self.assertRegex(self.refused(), r"the disk is too small: 32.0 TiB \(35184372088832 bytes\).*are free at")
        self.assertEqual(hub.of_host("store"), [])

    def test_the_command_line(self):
        self.serve()
        for arguments, why in [(["../x"], "as org/name"), (["org/model", "--revision", "a/b"], "--revision"),
                               (["org/model:Q8_0", "--file", "x.gguf"], "not both"),
                               (["org/model", "--file", "x.safetensors"], "only a GGUF file")]:
            self.assertIn(why, self.refused(*arguments))
        self.assertIn("HF_HUB_OFFLINE", self.refused(HF_HUB_OFFLINE="1"))
        self.assertIn("HF_ENDPOINT", self.refused(HF_ENDPOINT="nowhere"))
        self.assertIn("holds no token", self.refused(HF_TOKEN="a\x01b"))


class Encrypted(Pulls):
    def certificate(self):
        paths = self.home / "c.pem", self.home / "k.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hub",
                   "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except FileNotFoundError:
            self.skipTest("openssl is not installed")
        return paths

    def test_a_certificate_is_checked(self):
        certificate = self.certificate()
        hub = self.serve(certificate=certificate)
        self.assertIn("its certificate is not trusted", self.refused(SSL_CERT_FILE="/dev/null"))
        self.pull(SSL_CERT_FILE=str(certificate[0]))
        self.check_whole()
        other = hub.url.replace("127.0.0.1", "localhost")  # the certificate is another host's
        self.assertIn("is not trusted", self.refused(SSL_CERT_FILE=str(certificate[0]), HF_ENDPOINT=other))

    def test_https_does_not_lead_to_http(self):
        certificate = self.certificate()
        hub = self.serve(certificate=certificate)
        hub.location = "http://127.0.0.1:1/x"
        self.assertIn("which is not encrypted: refused", self.refused(SSL_CERT_FILE=str(certificate[0])))


class Served(Pulls):
    """A real model: what was pulled is what serve and huggingface_hub find, without a network."""

    def setUp(self):
        super().setUp()
        self.serve({p.name: p.read_bytes() for p in STAND_IN.iterdir() if p.is_file()})
        self.snapshot = self.pull()
        self.hub.close()

    def test_serve_starts_offline(self):
        command = [POLYMATH, "serve", "org/model", "--host", "127.0.0.1", "--port", "0", "--kv-cache-memory-bytes", "8M"]
        log = self.home / "log"
        environment = self.environment(HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:1")
        with log.open("w") as out:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and process.poll() is None and "ready: " not in log.read_text():
            time.sleep(0.05)
        port = re.search(r"ready: http://[0-9.]+:(\d+)", log.read_text())
        self.assertTrue(port, log.read_text())
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{port.group(1)}/v1/models", timeout=30) as answer:
            self.assertEqual(json.load(answer)["data"][0]["id"], "org/model")

    def test_huggingface_hub_finds_it(self):
        python = ROOT / ".venv/bin/python"
        if not python.exists():
            self.skipTest("no .venv; tools/setup.sh venv makes it")
        code = ("from huggingface_hub import scan_cache_dir, snapshot_download, hf_hub_download\n"
                "print(snapshot_download('org/model'))\nprint(hf_hub_download('org/model', 'config.json'))\n"
                "info = scan_cache_dir()\nprint(len(info.warnings), [r.repo_id for r in info.repos])\n")
        run = subprocess.run([python, "-c", code], env=self.environment(HF_HUB_OFFLINE="1"), capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(run.returncode, 0, run.stderr)
        snapshot, config, scanned = run.stdout.splitlines()
        self.assertEqual(snapshot, str(self.snapshot))
        self.assertEqual(config, str(self.snapshot / "config.json"))
        self.assertEqual(scanned, "0 ['org/model']")


if __name__ == "__main__":
    unittest.main()
