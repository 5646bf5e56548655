#!/usr/bin/env bash
# Prints the paths of a Chromium and of its chromedriver, a line each, on standard output.
# Looked for in this order: $CHROMIUM and $CHROMEDRIVER, the PATH, the cache. When none is there, the distribution's packages are
# unpacked (not installed: no root needed) into the cache.
set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/imagejob/chromium"
browser="$cache/bin/chromium" driver="$cache/bin/chromedriver"

say() { echo "chromium.sh: $*" >&2; }
works() { "$1" --version >/dev/null 2>&1 && "$2" --version >/dev/null 2>&1; }
print() { printf '%s\n' "$1" "$2"; exit; }

if [ -n "${CHROMIUM:-}" ] || [ -n "${CHROMEDRIVER:-}" ]; then
    works "${CHROMIUM:-}" "${CHROMEDRIVER:-}" || { say "CHROMIUM and CHROMEDRIVER are not a Chromium and its driver"; exit 1; }
    print "$CHROMIUM" "$CHROMEDRIVER"
fi
for name in chromium chromium-browser google-chrome; do
    if on_path=$(command -v "$name") && driver_on_path=$(command -v chromedriver) && works "$on_path" "$driver_on_path"; then
        print "$on_path" "$driver_on_path"
    fi
done

# Several tests may get here at once.
mkdir -p "$cache"
exec 9>"$cache/.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ -x "$browser" ] && works "$browser" "$driver"; then print "$browser" "$driver"; fi

# The driver's package brings the browser's.
if ! "$(dirname "$0")/packages.sh" chromium-driver "$cache/root"; then
    say "no Chromium. Install one (apt-get install chromium chromium-driver), or set CHROMIUM and CHROMEDRIVER to their paths."
    exit 1
fi
mkdir -p "$cache/bin"
libs=$(find "$cache/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
wrap() {
    cat >"$1" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH="$libs\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "$2" "\$@"
WRAPPER
    chmod +x "$1"
}
# The package's own script for the browser reads settings in /etc; the program itself needs none.
wrap "$browser" "$cache/root/usr/lib/chromium/chromium"
wrap "$driver" "$cache/root/usr/bin/chromedriver"
if ! works "$browser" "$driver"; then
    "$browser" --version >&2 || true
    "$driver" --version >&2 || true
    say "the distribution's Chromium does not start. Set CHROMIUM and CHROMEDRIVER to the paths of another."
    exit 1
fi
print "$browser" "$driver"
