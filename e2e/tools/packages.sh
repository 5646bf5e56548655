#!/usr/bin/env bash
# Unpacks a package of the distribution, with those it needs that this machine lacks, into a folder. Nothing is installed:
# no root is needed, and no service starts. Fails, and says why, where that can't be.
# Usage: packages.sh PACKAGE FOLDER
set -euo pipefail

package=$1 folder=$2
say() { echo "packages.sh: $*" >&2; }

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    say "this machine has no apt-get to get $package with"
    exit 1
fi

work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/debs" "$work/root" "$work/cache/archives/partial"
apt=(apt-get -o "APT::Sandbox::User=$(id -un)" -o "Dir::Cache=$work/cache" -o Debug::NoLocking=1)

# What `apt-get install` would bring in.
missing() {
    "${apt[@]}" --simulate --no-install-recommends install "$package" 2>/dev/null |
        sed -n 's/^Inst \([^ ]*\) .*/\1/p' | grep -v -x -e adduser -e passwd
}
download() {
    local packages
    mapfile -t packages < <(missing)
    [ ${#packages[@]} -gt 0 ] && (cd "$work/debs" && "${apt[@]}" download "${packages[@]}" >>"$work/apt.log" 2>&1)
}

say "getting $package from the distribution's packages"
if ! download; then
    # The machine's own package lists are absent or stale: fetch private ones, leaving the machine's alone.
    mkdir -p "$work/lists/partial"
    apt+=(-o "Dir::State::lists=$work/lists")
    "${apt[@]}" update >"$work/apt.log" 2>&1 || true # a post-update hook may want root; the download tells
    if ! download; then
        cat "$work/apt.log" >&2 || true
        say "could not get $package"
        exit 1
    fi
fi
for deb in "$work"/debs/*.deb; do dpkg-deb --extract "$deb" "$work/root"; done
rm -rf "$folder"
mv "$work/root" "$folder"
