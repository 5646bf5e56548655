#!/usr/bin/env bash
# Builds localcluster into a cache outside the repository and prints the path of
# the binary on stdout; everything else goes to stderr. The folder also holds a
# link for each name the binary answers to. Without changes it is instant.
#
# With arguments it runs Go with them, as it builds: `build.sh test ./...`. With
# other flags Go would compile all of Kubernetes once more.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/imagejob/localcluster"
keep=3
names=(etcd kube-apiserver kube-controllers kube-scheduler kubectl localnode)
# No debug information: the linker drops it anyway, and it takes an eighth of
# the compiler's time.
flags=(-trimpath -gcflags=all=-dwarf=false)

say() { echo "localcluster: $*" >&2; }
have_go() { command -v go >/dev/null || { say "Go is needed to build the local cluster: see https://go.dev/dl"; exit 1; }; }

if [ $# -gt 0 ]; then
  have_go
  exec go "$1" "${flags[@]}" "${@:2}"
fi

# The sources that are compiled in; tests are not.
sources() { find . -name '*.go' ! -name '*_test.go' -print0 | LC_ALL=C sort -z; }
hash=$({ cat go.mod go.sum build.sh; sources | xargs -0 sha256sum; } | sha256sum | cut -c1-16)
dir="$cache/$hash"

done_already() {
  [[ -x "$dir/localcluster" ]] || return 1
  touch "$dir" # the newest are kept
  echo "$dir/localcluster"
}

done_already && exit 0
have_go
mkdir -p "$cache"
exec 9>"$cache/lock"
flock -n 9 || { say "another build is running, waiting for it"; flock 9; }
done_already && exit 0

# Without these the API server and kubectl would say v0.0.0.
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}; minor=${minor%%.*}
pkg=k8s.io/component-base/version
ldflags="-s -w -X $pkg.gitVersion=$version -X $pkg.gitMajor=1 -X $pkg.gitMinor=$minor -X $pkg.gitTreeState=clean"

say "building Kubernetes $version; the first time takes about 6 minutes on 2 cores, later ones seconds"
work=$(mktemp -d "$cache/part.XXXXXX")
begin=$SECONDS
heartbeat() {
  trap 'kill "$nap"; exit' TERM
  while sleep 15 & nap=$!; wait "$nap"; do say "still building, $((SECONDS - begin)) s"; done
}
heartbeat 9>&- >/dev/null &
heartbeat=$!
trap 'kill "$heartbeat" 2>/dev/null || true; rm -rf "$work"' EXIT
go build "${flags[@]}" -ldflags "$ldflags" -o "$work/localcluster" . >&2
for name in "${names[@]}"; do ln -s localcluster "$work/$name"; done
rm -rf "$dir"
mv "$work" "$dir"
say "built in $((SECONDS - begin)) s"

# Keep the newest few: branches come and go, and each takes 150 MB.
ls -1td "$cache"/*/ | tail -n +$((keep + 1)) | xargs -r rm -rf
echo "$dir/localcluster"
