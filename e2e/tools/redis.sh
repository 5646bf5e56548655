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

if ! "$(dirname "$0")/packages.sh" redis-server "$cache/root"; then
    say "no redis-server of version 7 or later. Install one (apt-get install redis-server, brew install redis, dnf install"
    say "redis, apk add redis) or set REDIS_SERVER to the path of one."
    exit 1
fi
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
