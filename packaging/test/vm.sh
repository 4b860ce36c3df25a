#!/usr/bin/env bash
# vm.sh KERNEL SCRIPT [FILE...] : boots what kernel.sh has made in a virtual machine whose disk is its
# memory, and runs SCRIPT there with the files beside it, as container.sh does. Prints what it
# printed, and if it failed what the journal has about our units. Ends with its exit status.
set -euo pipefail
kernel=$(realpath "${1:?a directory with a kernel}")
script=${2:?a script}
shift 2
# The processor is emulated, which takes many times as long: VM_ACCEL=kvm where that can be had.
patience=${PATIENCE:-600}
here=$(cd "$(dirname "$0")" && pwd)

work=$(mktemp -d)
pid=
cleanup() {
  [ -z "$pid" ] || { kill -9 "$pid"; wait "$pid"; } 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

mkdir -p "$work/extra/test"
cp "$script" "$work/extra/test/script.sh"
cp "$here/judge.sh" "$work/extra/test/run.sh"
[ $# = 0 ] || cp "$@" "$work/extra/test"
# Scripts may set it.
touch "$work/extra/test/own-clock"
cat >"$work/extra/init" <<'INIT'
#!/bin/bash
# systemd's sandboxes cannot be made over the file system that a kernel unpacks.
set -e
mkdir /new
mount -t tmpfs -o mode=755,size=75% root /new
tar --create --one-file-system --exclude=./new --exclude=./init . | tar --extract --directory /new
mkdir -p /new/proc /new/sys /new/dev /new/run
units=/new/etc/systemd/system
mkdir -p "$units/multi-user.target.wants"
for unit in systemd-networkd systemd-logind getty@tty1 serial-getty@ttyS0; do
  ln -sf /dev/null "$units/$unit.service"
done
cat >"$units/vm-test.service" <<'UNIT'
[Unit]
After=multi-user.target dbus.service
[Service]
Type=exec
WorkingDirectory=/test
StandardOutput=file:/dev/ttyS1
StandardError=inherit
ExecStart=/bin/bash -c 'bash ./run.sh PATIENCE </dev/null; echo "status $$?"; sync'
ExecStopPost=/usr/bin/systemctl --force poweroff
UNIT
ln -s ../vm-test.service "$units/multi-user.target.wants/vm-test.service"
echo vm >/new/etc/hostname
exec switch_root /new /lib/systemd/systemd
INIT
sed -i "s/PATIENCE/$patience/" "$work/extra/init"
chmod 755 "$work/extra/init"
{
  cat "$kernel/root.cpio"
  (cd "$work/extra" && find . -print0 | cpio --null --create --quiet --format=newc)
} >"$work/initrd"

timeout --kill-after=5 $((patience + 30)) qemu-system-x86_64 -accel "${VM_ACCEL:-tcg,thread=multi}" \
  -cpu max -machine q35 -m 2048 -smp 2 -nodefaults -no-user-config -display none -no-reboot \
  -kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
  -append "console=ttyS0 quiet panic=-1 mitigations=off rdinit=/init" \
  -serial "file:$work/console" -serial "file:$work/log" </dev/null 2>"$work/qemu" &
pid=$!
wait "$pid" || true
pid=
tr -d '\r' <"$work/log" >"$work/clean"
status=$(sed -n 's/^status //p' "$work/clean" | tail -n 1)
grep -v '^status ' "$work/clean" || true
[ -n "$status" ] || {
  echo "the virtual machine did not come to an end; its console:" >&2
  tail -n 50 "$work/console" "$work/qemu" >&2
  exit 124
}
exit "$status"
