#!/usr/bin/env bash
# Runs inside of container.sh, beside a package: installs it, uses it, removes it, and finds nothing
# left. The first thing that is not as it should be ends it.
set -euo pipefail
scratch=$(mktemp -d)
# Everything that the minimal example asks of a machine.
example=/usr/share/doc/patronus/examples/minimal.yaml
neighbor=10.255.0.2
# A process whose network and files are those of the other site.
other=

step() { echo "· ${SECONDS} s: $*"; }
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
is() { [ "$2" = "$3" ] || fail "$1: $2, not $3"; }
none() { [ -z "$2" ] || fail "$1: $2"; }
same() { diff "$scratch/$2" - >"$scratch/diff" || fail "$1:"$'\n'"$(cat "$scratch/diff")"; }

# within SECONDS COMMAND...: until it succeeds.
within() {
  local deadline=$((SECONDS + $1)) limit=$1
  shift
  until "$@" >"$scratch/last" 2>&1; do
    [ $SECONDS -lt "$deadline" ] || fail "not within $limit s: $*: $(cat "$scratch/last")"
    sleep 0.1
  done
}
answers() { patronus status --json >/dev/null || [ $? = 1 ]; }
# Programs by what they are, without those of the other site; the second finds our FRR and no other.
programs() { { pgrep --ns $$ --nslist net "$@" || true; } | sort; }
wireguards() { programs --exact wireguard-go; }
our_frr() { programs --full '^/usr/lib/frr/.* -N patronus'; }
stock_frr() { programs --full '^/usr/lib/frr/' | comm -23 - <(our_frr); }
at_other() { nsenter --target "$other" --mount --net "$@"; }
main_pid() { systemctl show --property MainPID --value patronus.service; }
tunnels() { ip -oneline link show | grep -o ' pat[^:@]*' || true; }

# All that the kernel knows of the network, whoever made it.
kernel() {
  ip -oneline link show | cut -d: -f1,2
  ip -oneline address show
  for family in -4 -6; do
    ip $family rule show
    ip $family route show table all
  done
  # The zebra that is not ours makes objects of its own for routes of others, and keeps them a while.
  ip nexthop show | grep -v ' proto zebra ' || true
  nft list ruleset
}
sysctls() { sysctl --all --pattern '^net\.(core|ipv4|ipv6)\.' 2>/dev/null; }
# Below these dpkg, systemd and the users' database keep books of their own.
files() {
  find /etc /usr /var /run /opt /root /srv -xdev \
    \( -path /var/lib/dpkg -o -path /var/log -o -path /var/cache -o -path /run/systemd \
    -o -path /run/log -o -path /run/adduser -o -path /run/user -o -path /run/test \) -prune \
    -o ! -name '*shadow-' ! -name 'group-' ! -name 'passwd-' -print | sort
}
foreign_files() { dpkg --verify | grep -v ' /usr/share/locale/' || true; }

network() {
  unshare --mount --net sleep infinity &
  other=$!
  within 5 apart
  lan 10.1.0.1/16
  ip link add wan0 type veth peer name wan0 netns "$other"
  ip address add 192.0.2.2/24 dev wan0
  ip link set wan0 up
  at_other ip address add 192.0.2.1/24 dev wan0
  at_other ip link set wan0 up
  ip route add default via 192.0.2.1
  # What has no tunnel shall not get there in the clear, which would look like success.
  ip route add blackhole 10.0.0.0/8
  within 10 settled
}
apart() { [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; }
lan() {
  ip link add lan0 type veth peer name lan0-peer
  ip address add "$1" dev lan0
  ip link set lan0 up
  ip link set lan0-peer up
}
# Addresses which are being tried out would look like changes later.
settled() { [ -z "$(ip -6 address show tentative)" ]; }

remember() {
  stock_frr >"$scratch/stock_frr"
  kernel >"$scratch/kernel"
  sysctls >"$scratch/sysctls"
  files >"$scratch/files"
  foreign_files >"$scratch/foreign_files"
}

installs() {
  step "the package installs, and does nothing without a configuration"
  dpkg --install ./*.deb
  is "the unit" "$(systemctl is-enabled patronus.service)" enabled
  is "without configuration" "$(systemctl is-active patronus.service || true)" inactive
  kernel | same "the kernel after the installation" kernel
  none "complaints of systemd" "$(systemd-analyze verify patronus{,-frr,-bfdd}.service 2>&1)"
  patronus doctor
}

runs() {
  step "the example runs, and its LAN reaches that of the other site"
  install -m 640 -g patronus "$example" /etc/patronus/config.yaml
  patronus config check /etc/patronus/config.yaml
  systemctl start patronus.service
  within 20 systemctl is-active patronus.service
  within 20 answers
  within 20 knows_neighbor
  [ -n "$(tunnels)" ] || fail "there are no tunnels"
  right_wireguard
  [ -n "$(our_frr)" ] || fail "there is no FRR"
  export -f lan become_other
  local their_key
  their_key=$(at_other bash -c "become_other '$(patronusd keys | awk '{print $2}')'")
  sed -i "s|public_key: .*|public_key: $their_key|; s|endpoint: .*|endpoint: 192.0.2.1:51820|" \
    /etc/patronus/config.yaml
  systemctl reload patronus.service
  within 30 patronus status
  patronus status
  within 10 ping -c 1 -W 1 -I 10.1.0.1 10.2.0.1
  patronus doctor
  has_real_time || fail "BFD has no real-time scheduling"
  hardened patronus.service 30
  hardened patronus-frr.service 45
}
# The kernel's where it has one.
right_wireguard() {
  local tunnel
  tunnel=$(tunnels | sed -n '/pat-/{s/ //;p;q}')
  if modprobe wireguard 2>/dev/null; then
    step "tunnels are of the kernel's WireGuard"
    [[ $(ip -details link show "$tunnel") =~ wireguard ]] || fail "$(ip -details link show)"
    none "wireguard-go" "$(wireguards)"
  else
    step "tunnels are of wireguard-go"
    [ -n "$(wireguards)" ] || fail "there is no wireguard-go"
  fi
}
# In the place of the other site, whose peer has this public key. Prints its own; what it starts
# goes on.
become_other() {
  set -euo pipefail
  local folder
  # It has the same programs, and files of its own.
  for folder in /etc/patronus /var/lib/patronus /run/patronus /run/wireguard /etc/frr/patronus \
    /run/frr/patronus /var/tmp; do
    mkdir -p "$folder"
    mount -t tmpfs other "$folder"
  done
  ip link set lo up
  ip route add default via 192.0.2.2
  lan 10.2.0.1/16
  cat >/etc/patronus/config.yaml <<YAML
version: 1
site: {id: lisbon}
overlay: {ipv4: 10.255.0.2/16}
uplinks:
  - {name: fibre, interface: wan0}
lans:
  - {interface: lan0, prefixes: 10.2.0.0/16}
sites:
  - id: berlin
    overlay: {ipv4: 10.255.0.1}
    uplinks:
      - {name: fibre, public_key: "$1", endpoint: "192.0.2.2:51820"}
YAML
  {
    patronusd prepare-frr
    /usr/lib/frr/frrinit.sh start patronus
    patronusd &
  } >/tmp/other.log 2>&1
  patronusd keys | awk '{print $2}'
}

# hardened UNIT TENTHS: its exposure, as systemd reckons it from 0 to 10, is no more than that.
hardened() {
  systemd-analyze security --no-pager --threshold="$2" "$1" >"$scratch/security" ||
    fail "$(cat "$scratch/security")"
  tail -n 1 "$scratch/security"
}
watches_neighbors_that_ask_for_it() {
  step "bfdd runs as long as a neighbour wants BFD"
  local config=/etc/patronus/config.yaml
  ! systemctl is-active patronus-bfdd.service >/dev/null || fail "bfdd runs for nobody"
  cp $config "$scratch/without"
  echo "bgp: {neighbors: [{address: 10.1.0.9, asn: 65009, bfd: {}}]}" >>$config
  systemctl reload patronus.service
  within 10 watches 10.1.0.9
  hardened patronus-bfdd.service 45
  patronus status || [ $? = 1 ]
  cat "$scratch/without" >$config
  systemctl reload patronus.service
  within 10 is_inactive patronus-bfdd.service
  within 10 patronus status
}
watches() {
  vtysh -N patronus -d bfdd -c 'show running-config' | grep 'profile patronus' &&
    vtysh -N patronus -d bfdd -c 'show bfd peers' | grep -w "$1"
}
is_inactive() { ! systemctl is-active "$1"; }
# The sandbox must not keep the BFD thread from what it asks for.
has_real_time() { ps -L --no-headers -o class -p "$(main_pid)" | grep -q RR; }
knows_neighbor() { vtysh -N patronus -c 'show bgp summary' | grep -w "$neighbor"; }

lets_its_group_ask() {
  step "members of the group may ask, others may not"
  local gid
  gid=$(getent group patronus | cut -d: -f3)
  setpriv --reuid nobody --regid nogroup --groups "$gid" patronus status >/dev/null || [ $? = 1 ] ||
    fail "a member of the group gets no answer"
  ! setpriv --reuid nobody --regid nogroup --clear-groups patronus status >/dev/null 2>&1 ||
    fail "everybody gets an answer"
}

goes_on() {
  step "$1 leaves tunnels and routing alone"
  tunnels >"$scratch/tunnels"
  wireguards >"$scratch/wireguards"
  our_frr >"$scratch/our_frr"
  local before pinging
  before=$(main_pid)
  shift
  ping -q -i 0.02 -I 10.1.0.1 10.2.0.1 >"$scratch/ping" &
  pinging=$!
  "$@"
  within 10 replaced "$before"
  within 10 answers
  within 10 knows_neighbor
  tunnels | same "tunnels" tunnels
  wireguards | same "processes of wireguard-go" wireguards
  our_frr | same "processes of FRR" our_frr
  # A daemon can be back within less time than tells anything about its successor.
  sleep 1
  kill -INT $pinging
  wait $pinging || true
  answered || fail "packets were lost: $(cat "$scratch/ping")"
}
# The answer to the last one may have been on its way.
answered() { awk '/transmitted/ {exit $1 < 40 || $1 - $4 > 1}' "$scratch/ping"; }
replaced() { [ "$(main_pid)" != "$1" ] && systemctl is-active patronus.service; }
murder() { kill -9 "$(main_pid)"; }

# Only a machine of its own has a clock of its own, of which its owner leaves word here.
outlives_jumps_of_the_clock() {
  [ -e own-clock ] || return 0
  step "a clock that is put right moves nothing"
  local before jump
  # What is due once a day leaves files of its own.
  systemctl stop '*.timer'
  before=$(troubles)
  for jump in '+1 day' '-2 days' '+1 day'; do
    date --set "$jump" >/dev/null
    # Several times as long as BFD, keepalives and the follower take.
    sleep 3
    ping -q -c 1 -W 1 -I 10.1.0.1 10.2.0.1 >/dev/null || fail "no answer after $jump"
    within 10 patronus status
  done
  is "events of paths and moves" "$(troubles)" "$before"
}
troubles() { patronus events --json | grep -cE '"kind": *"(path|moved|bgp_neighbor)"' || true; }

is_removed() {
  step "removed, it leaves nothing in the kernel and nothing running"
  dpkg --remove patronus
  none "wireguard-go" "$(wireguards)"
  none "FRR" "$(our_frr)"
  none "units" "$(systemctl list-units --all --plain --no-legend 'patronus*')"
  none "unit files" "$(systemctl list-unit-files --no-legend 'patronus*')"
  kernel | same "the kernel" kernel
  sysctls | same "kernel parameters" sysctls
  files | grep -v -e '^/etc/patronus' -e '^/var/lib/patronus' | same "files but configuration and keys" files
}

is_purged() {
  step "purged, it leaves no file and no group"
  dpkg --purge patronus
  none "the group" "$(getent group patronus || true)"
  ! dpkg --status patronus >/dev/null 2>&1 || fail "dpkg still knows the package"
  files | same "files" files
  foreign_files | same "files of other packages" foreign_files
}

cd "$(dirname "$0")"
network
within 20 systemctl is-active frr.service
remember
installs
foreign_files | same "files of other packages" foreign_files
runs
watches_neighbors_that_ask_for_it
lets_its_group_ask
goes_on "a restart" systemctl restart patronus.service
goes_on "kill -9" murder
goes_on "an upgrade" dpkg --install ./*.deb
outlives_jumps_of_the_clock
foreign_files | same "files of other packages" foreign_files
is_removed
stock_frr | same "processes of the FRR that is not ours" stock_frr
is_purged
step "all is well"
