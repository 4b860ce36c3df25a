#!/usr/bin/env bash
# other-frr.sh TARGET : makes, unless it is there, a root file system with the FRR that this machine has
# not: FRR 10 of Debian 13, or FRR 8 of Debian 12 on anything newer. Prints where it is.
set -euo pipefail
target=${1:?the target directory of cargo}
suite=trixie
# shellcheck source=/dev/null
[ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = bookworm ] || suite=bookworm
root=$target/rootfs-frr-$suite
"${0%/*}/rootfs.sh" "$root" "$suite" frr,procps || {
  echo "without it, FRR is tested in one version only: PATRONUS_SKIP_OTHER_FRR=1 accepts that" >&2
  exit 1
}
echo "$root"
