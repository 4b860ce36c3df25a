#!/usr/bin/env bash
# Installs the Debian packages which labs, tests and the demo need, if any is missing.
set -euo pipefail

# program that must exist : package that has it
needs=(
  /usr/lib/frr/zebra:frr
  wireguard-go:wireguard-go
  wg:wireguard-tools
  nft:nftables
  ip:iproute2
  ping:iputils-ping
  tcpdump:tcpdump
  conntrack:conntrack
  dnsmasq:dnsmasq-base
  udhcpc:udhcpc
  ps:procps
  cc:gcc
  mmdebstrap:mmdebstrap
  dpkg-deb:dpkg
  strip:binutils
  qemu-system-x86_64:qemu-system-x86
  cpio:cpio
  depmod:kmod
)

missing=()
for need in "${needs[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || {
  echo "missing: ${missing[*]}. This is not a Debian system: install them by hand." >&2
  exit 1
}
root=()
[ "$(id -u)" = 0 ] || root=(sudo)
echo "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# FRR's own service is not wanted: labs start it inside namespaces.
if ! { "${root[@]}" apt-get update && "${root[@]}" apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
