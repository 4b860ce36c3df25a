#!/usr/bin/env bash
# rootfs.sh DIRECTORY [SUITE PACKAGE,PACKAGE,...] : makes, unless it is there, a minimal Debian of this
# machine's own suite with what the package needs, or of another suite with other packages, from the
# sources that apt has here.
set -euo pipefail
root=${1:?a directory}
own=$(. /etc/os-release && echo "${VERSION_CODENAME:?not a Debian release}")
suite=${2:-$own}
packages=${3:-systemd,systemd-sysv,dbus,frr,wireguard-go,nftables,iproute2,iputils-ping,adduser,procps,kmod}
mkdir -p "$(dirname "$root")"
# One makes it, and whoever else wants it waits.
exec 9>"$root.lock"
flock 9
[ "$(cat "$root/.packages" 2>/dev/null)" != "$packages" ] || exit 0
# Other sources, of other archives, have nothing that is needed.
mapfile -t sources < <(
  grep -lsE "^[^#]*[[:space:]]$own([[:space:]]|\$)" \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources
)
[ ${#sources[@]} -gt 0 ] || {
  echo "apt has no source of $own on this machine" >&2
  exit 1
}

new=$(mktemp -d "$root.XXXXXX")
log=$(mktemp)
trap 'rm -rf "$new" "$log"' EXIT
if [ "$suite" != "$own" ]; then
  # An archive that has the one suite has the other too, or says that it has not.
  mkdir "$new/sources"
  for at in "${!sources[@]}"; do
    copy="$new/sources/$at-${sources[at]##*/}"
    sed "s/\([[:space:]]\)$own\>/\1$suite/g" "${sources[at]}" >"$copy"
    sources[at]=$copy
  done
fi
if ! mmdebstrap --quiet --variant=minbase --mode=root --format=directory \
  --include="$packages" --aptopt='Acquire::Languages "none"' \
  --dpkgopt='force-unsafe-io' --dpkgopt='path-exclude=/usr/share/locale/*' \
  "$suite" "$new/tree" "${sources[@]}" >"$log" 2>&1; then
  cat "$log" >&2
  echo "a Debian $suite with $packages cannot be made from apt's sources on this machine" >&2
  exit 1
fi
echo "$packages" >"$new/tree/.packages"
rm -rf "$root"
mv -T "$new/tree" "$root"
