#!/usr/bin/env bash
# kernel.sh ROOT DIRECTORY : makes, unless it is there, what vm.sh boots: Debian's stock kernel, as
# DIRECTORY/vmlinuz, and ROOT with the modules of that kernel, as DIRECTORY/root.cpio.
set -euo pipefail
root=$(realpath "${1:?a root directory}")
out=${2:?a directory}
# One makes it, and whoever else wants it waits.
exec 9>"$out.lock"
flock 9
[ ! "$out/root.cpio" -nt "$root/.packages" ] || exit 0

arch=$(dpkg --print-architecture)
# The one for virtual machines has no drivers for things that these do not have.
image=$(apt-cache depends "linux-image-cloud-$arch" | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$image" ] || {
  echo "apt knows no linux-image-cloud-$arch: run apt-get update" >&2
  exit 1
}
new=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$new"' EXIT
# As root, apt complains that its own user may not write there.
(cd "$new" && apt-get download -o APT::Sandbox::User=root -qq "$image")
dpkg-deb -x "$new"/linux-image-*.deb "$new/image"
release=$(basename "$new"/image/boot/vmlinuz-*)
release=${release#vmlinuz-}
modules=$(find "$new/image" -path '*lib/modules/*' -prune -name "$release")
tree=$new/tree/usr/lib/modules/$release
mkdir -p "$tree" "$new/ready"
# Networks, and what they need.
(cd "$modules" && cp -r --parents modules.* kernel/{net,lib,crypto,arch,drivers/net} "$tree")
depmod --basedir "$new/tree/usr" "$release"
archive() { (cd "$1" && find . -xdev -print0 | cpio --null --create --quiet --format=newc); }
{ archive "$root" && archive "$new/tree"; } >"$new/ready/root.cpio"
cp "$new/image/boot/vmlinuz-$release" "$new/ready/vmlinuz"
rm -rf "$out"
mv -T "$new/ready" "$out"
