package supervisor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"imagejob.dev/localcluster/internal/controlplane"
	"imagejob.dev/localcluster/internal/process"
)

// downTimeout is longer than any clean stop takes.
const downTimeout = 20 * time.Second

// Down stops the cluster in a state folder and waits until nothing is left.
func Down(argv []string) int {
	layout, ok := parseState("localcluster down", argv[1:])
	if !ok {
		return 2
	}
	if err := down(layout); err != nil {
		fmt.Fprintf(os.Stderr, "localcluster down: %v\n", err)
		return 1
	}
	return 0
}

func down(layout controlplane.Layout) error {
	if locked(layout) {
		owner, err := readOwner(layout)
		if err != nil {
			return err
		}
		if err := syscall.Kill(owner, syscall.SIGTERM); err != nil {
			return fmt.Errorf("asking the supervisor (process %d) to stop: %w", owner, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), downTimeout)
		defer cancel()
		if err := waitFor(ctx, "the supervisor to stop", func() (bool, error) { return !locked(layout), nil }); err != nil {
			return err
		}
	}
	// These processes may be left by a supervisor that was killed.
	if left := process.KillMarked(leftoverTimeout, process.StateMarker+"="+layout.State); len(left) > 0 {
		return fmt.Errorf("processes %v could not be ended", left)
	}
	_ = os.Remove(layout.Ready())
	return nil
}

// Status says whether a cluster runs in a state folder; the exit status is 0
// when it is ready.
func Status(argv []string) int {
	layout, ok := parseState("localcluster status", argv[1:])
	if !ok {
		return 2
	}
	if !locked(layout) {
		fmt.Println("stopped")
		return 1
	}
	ready, err := readReady(layout)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("starting or stopping")
		return 1
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "localcluster status: %v\n", err)
		return 1
	}
	fmt.Printf("ready\nserver: %s\nkubeconfig: %s\npid: %d\n", ready.Server, ready.Kubeconfig, ready.PID)
	return 0
}

func parseState(command string, args []string) (controlplane.Layout, bool) {
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	state := flags.String("state", "", "state folder of the cluster (required)")
	_ = flags.Parse(args) // ExitOnError
	if *state == "" {
		fmt.Fprintf(os.Stderr, "%s: --state DIR is required\n", command)
		return controlplane.Layout{}, false
	}
	layout, err := controlplane.NewLayout(*state)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", command, err)
		return controlplane.Layout{}, false
	}
	return layout, true
}
