#!/usr/bin/env bash
# Gets what e2e/bullmq needs, by its lock file, into a cache outside the repository, and prints the folder on standard
# output. Without Node, or where its packages can't be had, it says so and fails.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../bullmq"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/imagejob/bullmq"
dir="$cache/$(cat bench.js package.json package-lock.json | sha256sum | cut -c1-16)"

say() { echo "bullmq.sh: $*" >&2; }

if [ ! -d "$dir" ]; then
    command -v node >/dev/null && command -v npm >/dev/null || { say "there is no Node"; exit 1; }
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/part.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp bench.js package.json package-lock.json "$work"
    # Its optional native parts are left out: they have to be compiled.
    (cd "$work" && npm ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1) || {
        tail -n 5 "$work/npm.log" >&2
        say "its packages could not be had"
        exit 1
    }
    rm -rf "$dir"
    mv "$work" "$dir"
fi
echo "$dir"
