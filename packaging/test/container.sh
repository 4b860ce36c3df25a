#!/usr/bin/env bash
# container.sh ROOT SCRIPT [FILE...] : boots systemd over ROOT, which stays as it is, in namespaces of
# its own, and runs SCRIPT there with the files beside it. Prints what it printed, and if it failed
# what the journal has about our units. Ends with its exit status, and leaves nothing behind.
set -euo pipefail
root=$(realpath "${1:?a root directory}")
script=${2:?a script}
shift 2
# For the script; booting takes a second, and reading the journal less.
patience=${PATIENCE:-150}

work=$(mktemp -d)
cgroups=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET) || {
  echo "cgroup2 is not mounted, which systemd needs" >&2
  exit 1
}
cgroup=$cgroups/patronus-test-$$
pid=

cleanup() {
  # The first process of a pid namespace takes all others with it.
  [ -z "$pid" ] || { kill -9 "$pid"; wait "$pid"; } 2>/dev/null || true
  for _ in {1..50}; do
    find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    [ -d "$cgroup" ] || break
    sleep 0.1
  done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

shared=$work/shared
mkdir "$work/tree" "$shared" "$cgroup"
cp "$script" "$shared/script.sh"
[ $# = 0 ] || cp "$@" "$shared"
touch "$shared/log"
cp "$(dirname "$0")/judge.sh" "$shared/run.sh"

# The shell that becomes systemd. It is in its namespaces already.
cat >"$work/init.sh" <<'INIT'
set -euo pipefail
root=$1 work=$2 patience=$3 tree=$2/tree/root
mount --make-rprivate /
# All that is written goes to memory, and vanishes with the namespace.
mount -t tmpfs -o mode=755 upper "$work/tree"
mkdir "$work"/tree/{upper,scratch,root}
mount -t overlay -o "lowerdir=$root,upperdir=$work/tree/upper,workdir=$work/tree/scratch" root "$tree"
mount -t proc proc "$tree/proc"
# Read-only tells udev and the like that this is a container.
mount -t sysfs -o ro sysfs "$tree/sys"
mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
mount -t tmpfs -o mode=755 run "$tree/run"
mount -t tmpfs -o mode=1777 tmp "$tree/tmp"
mount -t tmpfs -o mode=755 dev "$tree/dev"
mkdir "$tree"/dev/{net,pts,shm}
for node in null zero full random urandom tty net/tun; do
  [ -c "/dev/$node" ] || continue
  : >"$tree/dev/$node"
  mount --bind "/dev/$node" "$tree/dev/$node"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 pts "$tree/dev/pts"
ln -s pts/ptmx "$tree/dev/ptmx"
ln -s /proc/self/fd "$tree/dev/fd"
mount -t tmpfs -o mode=1777 shm "$tree/dev/shm"
mkdir "$tree/run/test"
mount --bind "$work/shared" "$tree/run/test"

hostname container
units=$tree/etc/systemd/system
mkdir -p "$units/multi-user.target.wants"
# They would look after the devices, the seats and the network of the machine outside.
for unit in systemd-udevd systemd-udev-trigger systemd-modules-load systemd-networkd systemd-logind \
  console-getty getty@tty1; do
  ln -sf /dev/null "$units/$unit.service"
done
cat >"$units/container-test.service" <<UNIT
[Unit]
After=multi-user.target dbus.service
[Service]
Type=exec
WorkingDirectory=/run/test
ExecStart=/bin/bash -c 'bash ./run.sh $patience </dev/null >>log 2>&1; echo \$\$? >status.new; mv status.new status'
UNIT
ln -s ../container-test.service "$units/multi-user.target.wants/container-test.service"
ip link set lo up
cd "$tree"
# Not chroot alone: who makes a mount namespace in there would find this machine's files in it.
pivot_root . mnt
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /bin/sh -c '
  umount --lazy /mnt
  exec /lib/systemd/systemd --system --unit=multi-user.target --show-status=0 --log-target=journal'
INIT

(
  echo 0 >"$cgroup/cgroup.procs"
  # Dies with this script, however that ends.
  exec setpriv --pdeathsig KILL unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child \
    setsid bash "$work/init.sh" "$root" "$work" "$patience"
) >"$work/console" 2>&1 </dev/null &
pid=$!

for ((tenths = 0; tenths < (patience + 30) * 10; tenths++)); do
  [ ! -s "$shared/status" ] && kill -0 "$pid" 2>/dev/null || break
  sleep 0.1
done
cat "$shared/log"
[ -s "$shared/status" ] || {
  echo "the container did not come to an end within $((patience + 30)) s; its console:" >&2
  tail -n 50 "$work/console" >&2
  exit 124
}
exit "$(cat "$shared/status")"
