#!/usr/bin/env bash
# setup.sh WHAT... : installs the Debian packages which that needs, if any is missing: `lab` (the demo,
# benchmarks), `package` (making it), `system` (testing it on whole systems), `database` (testing what
# controllers keep).
set -euo pipefail

# program that can be run, or file that exists : package that has it
lab=(
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
  /usr/include/errno.h:libc6-dev
)
package=(
  cc:gcc
  /usr/include/errno.h:libc6-dev
  dpkg-deb:dpkg
  strip:binutils
)
database=(
  psql:postgresql-client
  /usr/share/doc/postgresql:postgresql
)
system=(
  mmdebstrap:mmdebstrap
  qemu-system-x86_64:qemu-system-x86
  cpio:cpio
  depmod:kmod
)

needs=()
for what in "$@"; do
  case $what in
  lab) needs+=("${lab[@]}") ;;
  package) needs+=("${package[@]}") ;;
  system) needs+=("${system[@]}") ;;
  database) needs+=("${database[@]}") ;;
  *)
    echo "setup.sh knows lab, package, system and database, not $what" >&2
    exit 2
    ;;
  esac
done
missing=()
for need in "${needs[@]}"; do
  [ -e "${need%%:*}" ] || PATH="$PATH:/usr/sbin:/sbin" command -v "${need%%:*}" >/dev/null ||
    missing+=("${need##*:}")
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
# A server that nobody asked for is not wanted: tests start their own.
case " ${missing[*]} " in
*" postgresql "*)
  "${root[@]}" mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] ||
    echo "create_main_cluster = false" | "${root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
  ;;
esac
# FRR's own service is not wanted: labs start it inside namespaces.
if ! { "${root[@]}" apt-get update && "${root[@]}" apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
