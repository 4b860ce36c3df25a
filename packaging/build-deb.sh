#!/usr/bin/env bash
# build-deb.sh TARGET_DIR : makes TARGET_DIR/deb/patronus_VERSION_ARCH.deb from what was built there
# with `cargo build --release`.
set -euo pipefail
target=${1:?the target directory}
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../Cargo.toml" | head -1)
arch=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

put() { install -D -m "$1" "$2" "$root/$3"; }
put 755 "$target/release/patronusd" usr/sbin/patronusd
put 755 "$target/release/patronus" usr/bin/patronus
for unit in patronus.service patronus-frr.service; do
  put 644 "$here/systemd/$unit" "usr/lib/systemd/system/$unit"
done
doc=usr/share/doc/patronus
put 644 "$here/../README.md" $doc/README.md
put 644 "$here/../docs/examples/site.yaml" $doc/examples/site.yaml
put 644 "$here/../docs/examples/minimal.yaml" $doc/examples/minimal.yaml
put 644 "$here/../docs/reference/config.md" $doc/config.md
put 644 "$here/../docs/reference/config.schema.json" usr/share/patronus/config.schema.json
{
  echo "Patronus is dual-licensed under MIT and Apache-2.0."
  echo; cat "$here/../LICENSE-MIT"
  echo; echo "The Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0."
} > "$root/$doc/copyright"
gzip -9n < "$here/../CHANGELOG.md" > "$root/$doc/changelog.gz"
for shell in bash zsh fish; do
  case $shell in
    bash) file=usr/share/bash-completion/completions/patronus ;;
    zsh) file=usr/share/zsh/vendor-completions/_patronus ;;
    fish) file=usr/share/fish/vendor_completions.d/patronus.fish ;;
  esac
  mkdir -p "$root/$(dirname "$file")"
  "$target/release/patronus" completions "$shell" > "$root/$file"
done

mkdir "$root/DEBIAN"
for script in postinst prerm postrm; do
  install -m 755 "$here/debian/$script" "$root/DEBIAN/$script"
done
size=$(du -sk --exclude=DEBIAN "$root" | cut -f1)
sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" "$here/debian/control.in" > "$root/DEBIAN/control"
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"

mkdir -p "$target/deb"
file="$target/deb/patronus_${version}_${arch}.deb"
dpkg-deb --root-owner-group --build "$root" "$file" >/dev/null
echo "$file"
