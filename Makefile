# The few commands that a newcomer needs. Everything else is a CMake preset: cmake --list-presets.
PRESET ?= cpu-release
MODEL ?= $(firstword $(wildcard models/polymath-demo) build/$(PRESET)/models/stand-in)
PORT ?= 8000

NVCC ?= $(firstword $(wildcard /usr/local/cuda/bin/nvcc) nvcc)

.PHONY: demo test check-deep serve build cuda setup setup-checks setup-hooks venv fuzz

demo: build  ## start the server on the demo model, talk to it, stop it
	POLYMATH=build/$(PRESET)/polymath tools/demo.sh $(MODEL)

test: venv build cuda  ## every test
	ctest --preset $(PRESET) -j$$(nproc)

check-deep: setup setup-checks  ## every room's unit tests under ASan and UBSan, then each fuzz target over its corpus
	cmake --preset fuzz
	cmake --build --preset fuzz --target room_tests fuzzers
	ctest --preset fuzz -L room -j$$(nproc); status=$$?; tools/fuzz_all.sh 0 && exit $$status

serve: build  ## serve MODEL on PORT until Ctrl-C
	build/$(PRESET)/polymath serve $(MODEL) --port $(PORT)

build: setup
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET)

cuda: setup  ## the CUDA backend and its tests, where CUDA 13 is installed; they skip themselves where there is no GPU
	@if $(NVCC) --version 2>/dev/null | grep -q 'release 13'; then \
	  cmake --preset cuda-release && cmake --build --preset cuda-release --target backend_cuda_test && \
	  build/cuda-release/src/backend_cuda_test --gtest_brief=1; \
	else echo "cuda: no nvcc of CUDA 13 here; the CUDA backend is not built"; fi

setup:
	tools/setup.sh packages

setup-checks: setup  ## clang: for check-deep, fuzz and ./check
	tools/setup.sh checks

setup-hooks:  ## git checks format and tidy before each commit, and the length of its subject
	git config core.hooksPath tools/hooks

venv: setup
	tools/setup.sh tests
	tools/setup.sh venv

fuzz: setup setup-checks  ## every fuzz target for SECONDS each
	tools/fuzz_all.sh $(or $(SECONDS),60)
