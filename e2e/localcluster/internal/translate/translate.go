// Package translate replaces what a container has and a process lacks: a file
// system with mounts, and a network of its own.
package translate

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Mount is a folder or file at the container's path Container and the machine's
// path Host.
type Mount struct {
	Container string
	Host      string
}

// Translator rewrites the arguments and environment values of one container.
type Translator struct {
	mounts []Mount
	podIP  string
	ports  map[int]bool
}

// New takes the container's mounts, its Pod's address and the containerPorts
// declared in the Pod.
func New(mounts []Mount, podIP string, ports map[int]bool) *Translator {
	// The deepest mount point of a path is the one that counts.
	sorted := slices.SortedFunc(slices.Values(mounts), func(a, b Mount) int {
		return cmp.Compare(len(b.Container), len(a.Container))
	})
	return &Translator{mounts: sorted, podIP: podIP, ports: ports}
}

// Text rewrites the paths and the addresses in one argument or value.
func (t *Translator) Text(s string) string { return t.addresses(t.paths(s)) }

// Path maps a path in the container to the machine's path. It returns false for
// a path under no mount.
func (t *Translator) Path(path string) (string, bool) {
	for _, m := range t.mounts {
		if rest, ok := strings.CutPrefix(path, m.Container); ok && (rest == "" || rest[0] == '/') {
			return m.Host + rest, true
		}
	}
	return path, false
}

// paths replaces every container path that stands on its own: at the start, or
// after a character that can't belong to a path or host name, or after "://",
// and not followed by more of a name. Replaced text is not replaced again.
func (t *Translator) paths(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); {
		mount, ok := t.mountAt(s, i)
		if !ok {
			out.WriteByte(s[i])
			i++
			continue
		}
		out.WriteString(mount.Host)
		i += len(mount.Container)
	}
	return out.String()
}

func (t *Translator) mountAt(s string, i int) (Mount, bool) {
	if s[i] != '/' || (i > 0 && isPathByte(s[i-1]) && !strings.HasSuffix(s[:i], "://")) {
		return Mount{}, false
	}
	for _, m := range t.mounts {
		end := i + len(m.Container)
		if strings.HasPrefix(s[i:], m.Container) && (end == len(s) || s[end] == '/' || !isPathByte(s[end])) {
			return m, true
		}
	}
	return Mount{}, false
}

func isPathByte(b byte) bool {
	return b == '/' || b == '.' || b == '_' || b == '-' || b == '~' ||
		'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

var (
	localAddress = regexp.MustCompile(`(^|[^0-9A-Za-z.\-])(127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0|\[::\]):([0-9]{1,5})\b`)
	// anyAddress is a listen address without its port: a whole value, or the
	// value of a flag.
	anyAddress = regexp.MustCompile(`^(|-{1,2}[0-9A-Za-z\-]+=)(0\.0\.0\.0|::|\[::\])$`)
)

// addresses replaces loopback and wildcard addresses with a port that the Pod
// declares by the Pod's own address, which its other containers and its probes
// use. Other ports on localhost stay, because they belong to the machine.
func (t *Translator) addresses(s string) string {
	s = anyAddress.ReplaceAllString(s, "${1}"+t.podIP)
	return localAddress.ReplaceAllStringFunc(s, func(found string) string {
		parts := localAddress.FindStringSubmatch(found)
		port, err := strconv.Atoi(parts[3])
		if err != nil || !t.ports[port] {
			return found
		}
		return parts[1] + t.podIP + ":" + parts[3]
	})
}
