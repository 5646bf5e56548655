// Package process starts, marks and ends the processes of a cluster, so that
// none outlives it.
package process

import (
	"os/exec"
	"runtime"
	"slices"
	"syscall"
)

// Spawner starts every child from one OS thread that lives as long as this
// process. Linux delivers a child's parent-death signal when the *thread* that
// forked it ends, and Go ends idle threads whenever it likes: without the
// locked thread, children would be killed at random.
type Spawner struct {
	starts chan start
	marks  []string
}

type start struct {
	cmd  *exec.Cmd
	done chan error
}

// NewSpawner starts the locked thread. Every child has the marks, NAME=value,
// in its environment.
func NewSpawner(marks ...string) *Spawner {
	s := &Spawner{starts: make(chan start), marks: marks}
	go func() {
		runtime.LockOSThread()
		for req := range s.starts {
			req.done <- req.cmd.Start()
		}
	}()
	return s
}

// Start starts cmd in a process group of its own (a terminal's Ctrl-C must not
// reach it) and has the kernel SIGKILL it when this process ends.
func (s *Spawner) Start(cmd *exec.Cmd) error {
	cmd.Env = slices.Concat(cmd.Env, s.marks)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	req := start{cmd: cmd, done: make(chan error, 1)}
	s.starts <- req
	return <-req.done
}
