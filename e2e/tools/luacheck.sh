#!/usr/bin/env bash
# Prints the path of luacheck, the linter for Lua, on standard output.
# Looked for in this order: $LUACHECK, the PATH, the cache. When none is there, the distribution's package is unpacked (not
# installed: no root needed) into the cache.
set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/imagejob/luacheck"
luacheck="$cache/bin/luacheck"

say() { echo "luacheck.sh: $*" >&2; }

works() { "$1" --version >/dev/null 2>&1; }

if [ -n "${LUACHECK:-}" ]; then
    works "$LUACHECK" || { say "LUACHECK=$LUACHECK is no luacheck that runs"; exit 1; }
    echo "$LUACHECK"; exit
fi
if on_path=$(command -v luacheck) && works "$on_path"; then echo "$on_path"; exit; fi

mkdir -p "$cache"
exec 9>"$cache/.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ -x "$luacheck" ] && works "$luacheck"; then echo "$luacheck"; exit; fi

instead() { say "install it (apt-get install lua-check, brew install luacheck, luarocks install luacheck) or set LUACHECK to its path."; }

root="$cache/root"
"$(dirname "$0")/packages.sh" lua-check "$root" || { instead; exit 1; }
lua=$(command -v lua5.1 || echo "$root/usr/bin/lua5.1")
modules="$root/usr/share/lua/5.1/?.lua;$root/usr/share/lua/5.1/?/init.lua;;"
libraries=$(find "$root" /usr/lib -path '*lua/5.1' -type d -printf '%p/?.so;' 2>/dev/null)
mkdir -p "$cache/bin"
cat >"$luacheck" <<WRAPPER
#!/bin/sh
LUA_PATH="$modules" LUA_CPATH="$libraries;" exec "$lua" "$root/usr/bin/luacheck" "\$@"
WRAPPER
chmod +x "$luacheck"
if ! works "$luacheck"; then
    "$luacheck" --version >&2 || true
    say "the distribution's luacheck does not start"
    instead
    exit 1
fi
echo "$luacheck"
