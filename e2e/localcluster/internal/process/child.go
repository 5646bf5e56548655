package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Child is a running process whose output goes to a log file.
type Child struct {
	Name    string
	LogPath string

	cmd  *exec.Cmd
	done chan struct{}
}

// StartChild starts cmd, appending stdout and stderr to the log file.
func (s *Spawner) StartChild(name, logPath string, cmd *exec.Cmd) (*Child, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := s.Start(cmd); err != nil {
		return nil, fmt.Errorf("starting %s (%s): %w", name, cmd.Path, err)
	}
	c := &Child{Name: name, LogPath: logPath, cmd: cmd, done: make(chan struct{})}
	go func() {
		// The exit status is read from ProcessState by Exit.
		_ = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// PID is the child's process id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Done is closed when the child has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Signal sends a signal to the child alone, not to its process group.
func (c *Child) Signal(sig syscall.Signal) error {
	select {
	case <-c.done:
		return nil
	default:
	}
	if err := c.cmd.Process.Signal(sig); err != nil && err != os.ErrProcessDone {
		return fmt.Errorf("sending %v to %s: %w", sig, c.Name, err)
	}
	return nil
}

// Stop asks the child to end and kills it after the grace period.
func (c *Child) Stop(grace time.Duration) {
	_ = c.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
		return
	case <-time.After(grace):
	}
	c.Kill()
}

// Kill ends the child at once and waits until it is gone.
func (c *Child) Kill() {
	_ = c.Signal(syscall.SIGKILL)
	<-c.done
}

// Failure describes an ended child: how it ended and the last lines it logged.
func (c *Child) Failure() error {
	return fmt.Errorf("%s ended (%v); the end of %s:\n%s", c.Name, c.cmd.ProcessState, c.LogPath, c.LogTail(15))
}

// LogTail returns the last lines of the child's log.
func (c *Child) LogTail(lines int) string {
	const window = 16 << 10
	f, err := os.Open(c.LogPath)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > window {
		_, _ = f.Seek(-window, io.SeekEnd)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
