#!/usr/bin/env bash
# Makes a Python environment with the packages of a requirements file, in a cache outside the repository, and prints the path
# of its Python on standard output. Without Python, or where its packages can't be had, it says so and fails.
# Usage: python.sh REQUIREMENTS
set -euo pipefail

requirements=$1
cache="${XDG_CACHE_HOME:-$HOME/.cache}/imagejob/python"
say() { echo "python.sh: $*" >&2; }

python=$(command -v python3) || { say "there is no Python; get it with: apt-get install python3 python3-venv"; exit 1; }
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
dir="$cache/$({ echo "$version"; cat "$requirements"; } | sha256sum | cut -c1-16)"

if [ ! -e "$dir/complete" ]; then
    mkdir -p "$cache"
    # One at a time: several tests may ask at once. A venv can't be moved, so an unfinished one lies in its place.
    exec 9>"$cache/lock"
    flock 9
    if [ ! -e "$dir/complete" ]; then
        say "getting the packages of $requirements"
        rm -rf "$dir"
        "$python" -m venv "$dir" || { say "Python has no venv; get it with: apt-get install python3-venv"; exit 1; }
        "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$requirements" >&2 || {
            say "the packages of $requirements could not be had"
            exit 1
        }
        touch "$dir/complete"
    fi
fi
echo "$dir/bin/python"
