#!/bin/sh
# Installs missing Debian 12 packages. On an installed machine it does nothing and needs no network.
#   tools/setup.sh packages    tools/packages.txt: to build and test
#   tools/setup.sh checks      tools/packages_checks.txt: clang, for sanitizers, fuzz targets and ./check
#   tools/setup.sh tests       tools/packages_tests.txt: nginx, a browser and Prometheus, which some tests drive
#   tools/setup.sh venv        .venv with tools/requirements.txt: the client libraries that tests/clients drives
set -eu
cd "$(dirname "$0")/.."

install_packages() {  # of the list $1
  missing=""
  for package in $(cat "$1"); do
    state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$state" = "install ok installed" ] || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  echo "setup: installing$missing"
  as_root=""
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup: install these as root:$missing" >&2; exit 1; }
    as_root=sudo
  fi
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  # shellcheck disable=SC2086  # a list of words
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

# The stamp is the list that was installed: a changed list installs again. The list is complete, and shorter than what
# the packages ask for: lm_eval's API models need neither torch nor datasets.
install_venv() {
  cmp -s tools/requirements.txt .venv/installed.txt && return 0
  echo "setup: installing the client libraries in .venv"
  if python3 -m venv .venv && .venv/bin/pip install -q --disable-pip-version-check --no-deps -r tools/requirements.txt; then
    cp tools/requirements.txt .venv/installed.txt
  else
    echo "setup: WARNING: .venv could not be filled (no network?); the tests with client libraries cannot run" >&2
  fi
}

case "${1:-}" in
  packages) install_packages tools/packages.txt ;;
  checks) install_packages tools/packages_checks.txt ;;
  tests) install_packages tools/packages_tests.txt ;;
  venv) install_venv ;;
  *) echo "usage: tools/setup.sh packages|checks|tests|venv" >&2; exit 2 ;;
esac
