#!/usr/bin/env bash
# rootfs.sh DIRECTORY : makes, unless it is there, a minimal Debian of this machine's own suite with
# what the package needs, from the sources that apt has here.
set -euo pipefail
root=${1:?a directory}
packages=systemd,systemd-sysv,dbus,frr,wireguard-go,nftables,iproute2,iputils-ping,adduser,procps,kmod
mkdir -p "$(dirname "$root")"
# One makes it, and whoever else wants it waits.
exec 9>"$root.lock"
flock 9
[ "$(cat "$root/.packages" 2>/dev/null)" != "$packages" ] || exit 0
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:?not a Debian release}")
# Other sources, of other archives, have nothing that is needed.
mapfile -t sources < <(
  grep -lsE "^[^#]*[[:space:]]$suite([[:space:]]|\$)" \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources
)
[ ${#sources[@]} -gt 0 ] || {
  echo "apt has no source of $suite on this machine" >&2
  exit 1
}

new=$(mktemp -d "$root.XXXXXX")
log=$(mktemp)
trap 'rm -rf "$new" "$log"' EXIT
if ! mmdebstrap --quiet --variant=minbase --mode=root --format=directory \
  --include="$packages" --aptopt='Acquire::Languages "none"' \
  --dpkgopt='force-unsafe-io' --dpkgopt='path-exclude=/usr/share/locale/*' \
  "$suite" "$new/tree" "${sources[@]}" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
echo "$packages" >"$new/tree/.packages"
rm -rf "$root"
mv -T "$new/tree" "$root"
