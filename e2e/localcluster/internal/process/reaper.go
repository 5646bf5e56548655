package process

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// reapScript waits for a line on its standard input. If the input ends without
// one, the process that held it was killed. Then the script ends every process
// with the marker and removes the folder of cgroups.
const reapScript = `
read -r word && exit 0
for round in 1 2 3; do
  for environ in /proc/[0-9]*/environ; do
    pid=${environ#/proc/}
    grep -qxzF -- "$1" "$environ" 2>/dev/null && kill -9 "${pid%/environ}"
  done
done
[ -z "$2" ] || find "$2" -depth -type d -exec rmdir {} + 2>/dev/null
exit 0
`

// Reaper outlives this process if that is killed, and then ends the processes
// that the kernel does not end: those that its children's children have
// started.
type Reaper struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// NewReaper watches over the processes with the NAME=value marker, and over a
// folder of cgroups, if there is one.
func NewReaper(marker, cgroups string) (*Reaper, error) {
	cmd := exec.Command("sh", "-c", reapScript, "reaper", marker, cgroups)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("preparing the reaper: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the reaper: %w", err)
	}
	return &Reaper{cmd: cmd, stdin: stdin}, nil
}

// Dismiss ends the watch.
func (r *Reaper) Dismiss() {
	_, _ = io.WriteString(r.stdin, "dismissed\n")
	_ = r.stdin.Close()
	_ = r.cmd.Wait()
}
