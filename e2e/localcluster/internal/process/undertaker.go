package process

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// undertake waits for a word on its standard input. When that ends without one,
// whoever held it was killed, and every process with the marker is ended too,
// and the folder of cgroups removed.
const undertake = `
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

// Undertaker outlives this process when that is killed, and then ends what the
// kernel doesn't: processes that its children's children have started.
type Undertaker struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// NewUndertaker watches over the processes that have the NAME=value marker, and
// over a folder of cgroups, if there is one.
func NewUndertaker(marker, cgroups string) (*Undertaker, error) {
	cmd := exec.Command("sh", "-c", undertake, "undertaker", marker, cgroups)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("preparing the undertaker: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the undertaker: %w", err)
	}
	return &Undertaker{cmd: cmd, stdin: stdin}, nil
}

// Dismiss ends the watch.
func (u *Undertaker) Dismiss() {
	_, _ = io.WriteString(u.stdin, "dismissed\n")
	_ = u.stdin.Close()
	_ = u.cmd.Wait()
}
