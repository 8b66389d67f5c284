#!/bin/sh
# Makes the root file system of an image that has polymath and no shell: tools/image_root.sh BINARY ROOT [LIBRARY...]
# The binary is stripped. Libraries keep their paths; what they and the binary load comes with them. ROOT must not exist.
set -eu
binary=$1
root=$2
shift 2
[ ! -e "$root" ] || { echo "image: $root exists already" >&2; exit 1; }

mkdir -p "$root/usr/bin" "$root/usr/share/polymath/licences" "$root/etc/ssl/certs" "$root/models" "$root/tmp"
chmod 1777 "$root/tmp"
strip -o "$root/usr/bin/polymath" "$binary"

copy() {  # a file to the same path, symbolic links resolved
  mkdir -p "$root$(dirname "$1")"
  cp -L "$1" "$root$1"
}
loaded_by() { ldd "$1" | sed -n 's/^\t\(.* => \)\?\(\/[^ ]*\) (0x.*/\2/p'; }

# GPU drivers, which the container runtime mounts, load the C library's old parts.
libc=$(loaded_by "$binary" | grep '/libc\.so\.6$')
for part in libdl.so.2 libpthread.so.0 librt.so.1; do copy "$(dirname "$libc")/$part"; done
for file in "$binary" "$@"; do
  for library in $(loaded_by "$file"); do copy "$library"; done
done
for library in "$@"; do copy "$library"; done

copy /etc/ssl/certs/ca-certificates.crt
echo 'polymath:x:65532:65532::/tmp:/usr/bin/polymath' >"$root/etc/passwd"
echo 'polymath:x:65532:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

# Whose code is inside: the packages that are linked statically, the C library and the certificates.
inside="libc6 ca-certificates libstdc++-12-dev libgcc-12-dev $(grep -E '^lib.*-dev$' "$(dirname "$0")/packages.txt" | grep -v -E '^lib(gtest|gmock)-dev$')"
for package in $inside; do
  dpkg-query -W -f '${Package} ${Version}\n' "$package"
  cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/polymath/licences/$package"
done >"$root/usr/share/polymath/packages.txt"
cp "$(dirname "$0")/../LICENSE" "$root/usr/share/polymath/licences/polymath"
(cd "$root" && find . -type f ! -path ./usr/share/polymath/files.txt -exec sha256sum {} +) | sort -k 2 >"$root/usr/share/polymath/files.txt"
