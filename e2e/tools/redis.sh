#!/usr/bin/env bash
# Prints the path of a redis-server of version 7 or later, on standard output.
# Looked for in this order: $REDIS_SERVER, the PATH, the cache. When none is there, the distribution's package is
# unpacked (not installed: no root needed, no service started) into the cache.
set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/imagejob/redis"
server="$cache/bin/redis-server"

say() { echo "redis.sh: $*" >&2; }

new_enough() {
    local major
    major=$("$1" --version 2>/dev/null | sed -n 's/.*v=\([0-9]*\)\..*/\1/p') && [ "${major:-0}" -ge 7 ]
}

if [ -n "${REDIS_SERVER:-}" ]; then
    new_enough "$REDIS_SERVER" || { say "REDIS_SERVER=$REDIS_SERVER is not a redis-server of version 7 or later"; exit 1; }
    echo "$REDIS_SERVER"; exit
fi
if on_path=$(command -v redis-server) && new_enough "$on_path"; then echo "$on_path"; exit; fi

# Tests of several crates may get here at once.
mkdir -p "$cache"
exec 9>"$cache/.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ -x "$server" ] && new_enough "$server"; then echo "$server"; exit; fi

if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    say "no redis-server of version 7 or later. Install one (brew install redis, dnf install redis, apk add redis)"
    say "or set REDIS_SERVER to the path of one."
    exit 1
fi

work=$(mktemp -d "$cache/.unpack.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/debs" "$work/root"
apt=(apt-get -o "APT::Sandbox::User=$(id -un)" -o "Dir::Cache=$work/cache" -o Debug::NoLocking=1)

# What `apt-get install` would bring in: redis-server and those of its libraries that this machine lacks.
missing_packages() {
    "${apt[@]}" --simulate --no-install-recommends install redis-server 2>/dev/null |
        sed -n 's/^Inst \([^ ]*\) .*/\1/p' | grep -v -x -e adduser -e passwd
}
download() {
    local packages
    mapfile -t packages < <(missing_packages)
    [ ${#packages[@]} -gt 0 ] && (cd "$work/debs" && "${apt[@]}" download "${packages[@]}" >>"$work/apt.log" 2>&1)
}

mkdir -p "$work/cache/archives/partial"
say "getting redis-server from the distribution's packages"
if ! download; then
    # The machine's own package lists are absent or stale: fetch private ones, leaving the machine's alone.
    mkdir -p "$work/lists/partial"
    apt+=(-o "Dir::State::lists=$work/lists")
    "${apt[@]}" update >"$work/apt.log" 2>&1 || true # a post-update hook may want root; the download tells
    if ! download; then
        cat "$work/apt.log" >&2 || true
        say "could not get it. Install it (apt-get install redis-server) or set REDIS_SERVER to the path of one."
        exit 1
    fi
fi
for deb in "$work"/debs/*.deb; do dpkg-deb --extract "$deb" "$work/root"; done

rm -rf "$cache/root" "$cache/bin"
mv "$work/root" "$cache/root"
mkdir -p "$cache/bin"
libs=$(find "$cache/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
cat >"$server" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH="$libs\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "$cache/root/usr/bin/redis-server" "\$@"
WRAPPER
chmod +x "$server"
if ! new_enough "$server"; then
    "$server" --version >&2 || true
    say "the distribution's redis-server is older than 7 or does not start. Set REDIS_SERVER to the path of a newer one."
    exit 1
fi
echo "$server"
