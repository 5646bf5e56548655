// Package limits bounds what a container's process may use of the machine, as
// far as the kernel allows it to this user: memory with cgroups, disks with
// file systems of their own.
package limits

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Memory makes cgroups below one folder. The zero value makes none.
type Memory struct {
	dir     string
	version version
}

// version is the version of the cgroups, with the names of its files.
type version struct {
	name  string
	limit string
	// swap is limited too, so that the limit holds for both together.
	swap      string
	swapValue func(limit int64) int64
	// events has a line "oom_kill N".
	events string
}

var (
	v2 = version{
		name: "cgroups v2", limit: "memory.max", swap: "memory.swap.max", events: "memory.events",
		swapValue: func(int64) int64 { return 0 },
	}
	v1 = version{
		name: "cgroups v1", limit: "memory.limit_in_bytes", swap: "memory.memsw.limit_in_bytes", events: "memory.oom_control",
		swapValue: func(limit int64) int64 { return limit },
	}
)

// removeTimeout bounds the wait for the end of a cgroup's last process.
const removeTimeout = 2 * time.Second

// NewMemory makes a folder for a cluster's cgroups. The error says why there
// can't be one; without it no memory limit is enforced.
func NewMemory(name string) (Memory, error) {
	var reasons []error
	for _, place := range places("/proc/self/mountinfo", "/proc/self/cgroup") {
		dir := filepath.Join(place.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			reasons = append(reasons, err)
			continue
		}
		m := Memory{dir: dir, version: place.version}
		if err := m.delegate(); err != nil {
			reasons = append(reasons, err)
			_ = os.Remove(dir)
			continue
		}
		return m, nil
	}
	if len(reasons) == 0 {
		return Memory{}, errors.New("the kernel offers no memory cgroups here")
	}
	return Memory{}, errors.Join(reasons...)
}

// OpenMemory is the folder that another process of the cluster has made; none
// for an empty path.
func OpenMemory(dir string) Memory {
	m := Memory{dir: dir, version: v2}
	if _, err := os.Stat(filepath.Join(dir, v1.limit)); err == nil {
		m.version = v1
	}
	return m
}

// delegate lets the cgroups below the folder have limits.
func (m Memory) delegate() error {
	if m.version.name == v1.name {
		return nil
	}
	return write(filepath.Join(m.dir, "cgroup.subtree_control"), "+memory")
}

// Dir is the folder; empty if there is none.
func (m Memory) Dir() string { return m.dir }

// String describes the cgroups.
func (m Memory) String() string { return fmt.Sprintf("%s, %s", m.version.name, m.dir) }

// Cgroup is the cgroup of one container.
type Cgroup struct {
	dir     string
	version version
}

// Limit makes a cgroup with a limit in bytes; nil if it is not enforced.
func (m Memory) Limit(name string, bytes int64) (*Cgroup, error) {
	if m.dir == "" || bytes <= 0 {
		return nil, nil
	}
	c := &Cgroup{dir: filepath.Join(m.dir, name), version: m.version}
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making a cgroup: %w", err)
	}
	if err := write(filepath.Join(c.dir, m.version.limit), strconv.FormatInt(bytes, 10)); err != nil {
		return nil, err
	}
	// The file is absent without swap accounting, and then there is no swap to
	// limit.
	swap := filepath.Join(c.dir, m.version.swap)
	if _, err := os.Stat(swap); err == nil {
		_ = write(swap, strconv.FormatInt(m.version.swapValue(bytes), 10))
	}
	return c, nil
}

// Enter is a command line that runs another one inside the cgroup: a shell
// joins the cgroup and then becomes the program, so all memory of the program
// counts.
func (c *Cgroup) Enter(argv []string) []string {
	if c == nil {
		return argv
	}
	join := `echo $$ >"$0" && exec "$@"`
	return append([]string{"/bin/sh", "-c", join, filepath.Join(c.dir, "cgroup.procs")}, argv...)
}

// OOMKilled says whether the kernel has killed a process because of the memory
// limit.
func (c *Cgroup) OOMKilled() bool {
	if c == nil {
		return false
	}
	events, err := os.ReadFile(filepath.Join(c.dir, c.version.events))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(events)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			return count != "0"
		}
	}
	return false
}

// Remove removes the cgroup once its processes are gone.
func (c *Cgroup) Remove() {
	if c != nil {
		remove(c.dir)
	}
}

// Remove removes everything that is left of the folder.
func (m Memory) Remove() {
	if m.dir == "" {
		return
	}
	left, _ := filepath.Glob(filepath.Join(m.dir, "*", "cgroup.procs"))
	for _, procs := range left {
		remove(filepath.Dir(procs))
	}
	remove(m.dir)
}

// remove waits until zombies are reaped; what stays after that is empty and
// harmless.
func remove(dir string) {
	deadline := time.Now().Add(removeTimeout)
	for {
		err := os.Remove(dir)
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

type place struct {
	dir     string
	version version
}

// places lists the folders in which cgroups may be made, the best first: in v2
// beside this process's own cgroup, whose parent has delegated the memory
// controller, and in v1 below its own.
func places(mountinfo, cgroup string) []place {
	var found []place
	mounts := cgroupMounts(mountinfo)
	own := ownCgroups(cgroup)
	if root, ok := mounts["cgroup2"]; ok {
		for dir := own[""]; ; dir = filepath.Dir(dir) {
			at := filepath.Join(root, dir)
			controllers, _ := os.ReadFile(filepath.Join(at, "cgroup.subtree_control"))
			if strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " memory ") {
				found = append(found, place{at, v2})
			}
			if dir == "/" || dir == "." || dir == "" {
				break
			}
		}
	}
	if root, ok := mounts["memory"]; ok {
		for _, dir := range []string{own["memory"], "/"} {
			if _, err := os.Stat(filepath.Join(root, dir, "cgroup.procs")); err == nil {
				found = append(found, place{filepath.Join(root, dir), v1})
			}
		}
	}
	return found
}

// cgroupMounts maps cgroup2, and the controllers of v1, to their mount points.
func cgroupMounts(mountinfo string) map[string]string {
	mounts := map[string]string{}
	eachLine(mountinfo, func(line string) {
		before, after, _ := strings.Cut(line, " - ")
		fields, about := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(about) < 3 {
			return
		}
		switch about[0] {
		case "cgroup2":
			mounts["cgroup2"] = fields[4]
		case "cgroup":
			for option := range strings.SplitSeq(about[2], ",") {
				mounts[option] = fields[4]
			}
		}
	})
	return mounts
}

// ownCgroups maps v1's controllers, and "" for v2, to this process' cgroup.
func ownCgroups(file string) map[string]string {
	own := map[string]string{}
	eachLine(file, func(line string) {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			return
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			own[controller] = parts[2]
		}
	})
	return own
}

func eachLine(file string, do func(string)) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		do(scanner.Text())
	}
}

func write(file, text string) error {
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing a limit: %w", err)
	}
	return nil
}
