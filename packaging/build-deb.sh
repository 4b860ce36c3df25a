#!/usr/bin/env bash
# build-deb.sh TARGET_DIR [PROFILE [OUT_DIR]] : makes OUT_DIR/patronus_VERSION_ARCH.deb, in
# TARGET_DIR/deb if not said otherwise, from what cargo built in TARGET_DIR/PROFILE (release).
set -euo pipefail
target=${1:?the target directory}
profile=${2:-release}
built=$target/$profile
out=${3:-$target/deb}
here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$here")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$project/Cargo.toml" | head -1)
arch=$(dpkg --print-architecture)
# The same sources give the same package, bit for bit.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat -c %Y "$project/CHANGELOG.md")}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022
chmod 755 "$root"

put() { install -D -m "$1" "$2" "$root/$3"; }
fill() {
  local date
  date=$(date -u -R -d "@$SOURCE_DATE_EPOCH")
  sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/${size:-}/; s/@GLIBC@/${glibc:-}/; s/@DATE@/$date/" "$1"
}
compress() { gzip -9n >"$root/$1"; }

programs() {
  put 755 "$built/patronusd" usr/sbin/patronusd
  put 755 "$built/patronus" usr/bin/patronus
  strip --strip-unneeded --remove-section=.comment "$root/usr/sbin/patronusd" "$root/usr/bin/patronus"
  for unit in patronus.service patronus-frr.service patronus-bfdd.service; do
    put 644 "$here/systemd/$unit" "usr/lib/systemd/system/$unit"
  done
}

documents() {
  local doc=usr/share/doc/patronus
  put 644 "$project/README.md" $doc/README.md
  put 644 "$project/docs/reference/config.md" $doc/config.md
  put 644 "$project/docs/examples/site.yaml" $doc/examples/site.yaml
  put 644 "$project/docs/examples/minimal.yaml" $doc/examples/minimal.yaml
  put 644 "$project/docs/reference/config.schema.json" usr/share/patronus/config.schema.json
  fill "$here/debian/changelog.in" | compress $doc/changelog.gz
  compress $doc/CHANGELOG.md.gz <"$project/CHANGELOG.md"
}

manuals() {
  local page
  for page in "$project"/docs/man/*; do
    mkdir -p "$root/usr/share/man/man${page##*.}"
    compress "usr/share/man/man${page##*.}/${page##*/}.gz" <"$page"
  done
}

# Whatever is linked is named there, or there is no package. (The test that writes the file looks
# at one architecture.)
copyright() {
  local linked missing
  linked=$("${CARGO:-cargo}" tree --locked --manifest-path "$project/Cargo.toml" \
    -p patronus-cli -p patronus-daemon -e normal,no-proc-macro --prefix none --format '{p}')
  missing=$(awk 'NF && !/\(\// { print "Files: crates/" $1 "-" substr($2, 2) "/*" }' <<<"$linked" |
    sort -u | grep -vxFf "$here/debian/copyright" || true)
  if [ -n "$missing" ]; then
    echo "packaging/debian/copyright lacks what is linked:" "$missing" >&2
    echo "run: UPDATE_EXPECT=1 cargo test -p patronus-tidy --test copyright" >&2
    return 1
  fi
  put 644 "$here/debian/copyright" usr/share/doc/patronus/copyright
}

completions() {
  local shell file
  while read -r shell file; do
    mkdir -p "$root/usr/share/$(dirname "$file")"
    "$built/patronus" completions "$shell" >"$root/usr/share/$file"
  done <<'FILES'
bash bash-completion/completions/patronus
zsh zsh/vendor-completions/_patronus
fish fish/vendor_completions.d/patronus.fish
FILES
}

# The newest glibc of which a program uses a symbol.
needed_glibc() {
  objdump -T "$root/usr/sbin/patronusd" "$root/usr/bin/patronus" |
    grep -o 'GLIBC_[0-9.]*' | cut -d_ -f2 | sort -V | tail -1
}

control() {
  local size script glibc
  size=$(du -sk "$root" | cut -f1)
  glibc=$(needed_glibc)
  mkdir "$root/DEBIAN"
  for script in postinst prerm postrm; do
    install -m 755 "$here/debian/$script" "$root/DEBIAN/$script"
  done
  fill "$here/debian/control.in" >"$root/DEBIAN/control"
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
}

programs
documents
copyright
manuals
completions
control
mkdir -p "$out"
file=$out/patronus_${version}_$arch.deb
# What is only tried out need not be small.
compression=(-Zgzip -z1)
[ "$profile" != release ] || compression=(-Zxz)
dpkg-deb --root-owner-group "${compression[@]}" --build "$root" "$file" >/dev/null
echo "$file"
