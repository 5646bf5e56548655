package cri

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	utilexec "k8s.io/utils/exec"
)

// ExecSync runs a command beside the container, with its environment: exec
// probes and lifecycle hooks use it.
func (r *Runtime) ExecSync(ctx context.Context, id string, argv []string, timeout time.Duration) (stdout, stderr []byte, err error) {
	r.mu.Lock()
	c, ok := r.containers[id]
	running := ok && c.state == runtimeapi.ContainerState_CONTAINER_RUNNING
	r.mu.Unlock()
	if !running {
		return nil, nil, notFound("running container", id)
	}
	cmd, err := r.execCommand(c, argv)
	if err != nil {
		return nil, nil, err
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := r.opts.Spawner.Start(cmd); err != nil {
		return nil, nil, fmt.Errorf("starting %v: %w", argv, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var expired <-chan time.Time
	if timeout > 0 {
		expired = time.After(timeout)
	}
	select {
	case err = <-ended:
	case <-expired:
		err = fmt.Errorf("command %v timed out after %v", argv, timeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		// The prober tells a failing command from a broken runtime by this type.
		err = utilexec.CodeExitError{Err: exit, Code: exitCode(exit.ProcessState)}
	}
	return out.Bytes(), errOut.Bytes(), err
}

// execCommand resolves the program: a path that exists in the image alone
// means the image's own program when the names are the same.
func (r *Runtime) execCommand(c *container, argv []string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		return nil, errors.New("no command to execute")
	}
	tr := c.translator()
	translated := make([]string, len(argv))
	for i, arg := range argv {
		translated[i] = tr.Text(arg)
	}
	image, err := r.opts.Images.Find(c.config.GetImage().GetUserSpecifiedImage())
	if err != nil {
		return nil, err
	}
	if filepath.Base(translated[0]) == filepath.Base(image.Command[0]) {
		translated[0] = image.Command[0]
	}
	cmd := exec.Command(translated[0], translated[1:]...)
	cmd.Dir, cmd.Env = c.scratch, c.env
	// Output that a forked process holds open must not delay the probe.
	cmd.WaitDelay = time.Second
	return cmd, cmd.Err
}
