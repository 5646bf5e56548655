package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Environment variables that mark a process as part of a cluster, of one run of
// it, and of a node. They are inherited, so they also find grandchildren, which
// the parent-death signal does not reach.
const (
	StateMarker = "LOCALCLUSTER_STATE"
	RunMarker   = "LOCALCLUSTER_RUN"
	NodeMarker  = "LOCALCLUSTER_NODE"
)

// Marked lists the living processes, other than this one, whose environment
// holds every one of the given NAME=value markers.
func Marked(markers ...string) []int {
	entries, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(entry)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// The process has ended, is a zombie, or belongs to another user.
		environ, err := os.ReadFile(entry)
		if err != nil || len(environ) == 0 {
			continue
		}
		if hasAll(environ, markers) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func hasAll(environ []byte, markers []string) bool {
	block := append([]byte{0}, environ...)
	for _, marker := range markers {
		needle := append([]byte{0}, marker...)
		if !bytes.Contains(block, append(needle, 0)) {
			return false
		}
	}
	return true
}

// KillMarked sends SIGKILL to every marked process until none is left, for at
// most wait; new ones may be forked while it looks. It returns those left.
func KillMarked(wait time.Duration, markers ...string) []int {
	deadline := time.Now().Add(wait)
	for {
		pids := Marked(markers...)
		if len(pids) == 0 || time.Now().After(deadline) {
			return pids
		}
		for _, pid := range pids {
			// An error means that the process has ended already.
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
