# The few commands that a newcomer needs. Everything else is a CMake preset: cmake --list-presets.
PRESET ?= cpu-release
MODEL ?= $(firstword $(wildcard models/polymath-demo) build/$(PRESET)/models/stand-in)
PORT ?= 8000

.PHONY: demo test serve build setup venv fuzz

demo: build  ## start the server on the demo model, talk to it, stop it
	POLYMATH=build/$(PRESET)/polymath tools/demo.sh $(MODEL)

test: venv build  ## every test
	ctest --preset $(PRESET) -j$$(nproc)

serve: build  ## serve MODEL on PORT until Ctrl-C
	build/$(PRESET)/polymath serve $(MODEL) --port $(PORT)

build: setup
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET)

setup:
	tools/setup.sh packages

venv: setup
	tools/setup.sh venv

fuzz: setup  ## every fuzz target for SECONDS each
	tools/fuzz_all.sh $(or $(SECONDS),60)
