package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"imagejob.dev/localcluster/internal/cloud"
	"imagejob.dev/localcluster/internal/controlplane"
	"imagejob.dev/localcluster/internal/images"
	"imagejob.dev/localcluster/internal/process"
)

const (
	readyTimeout = 60 * time.Second
	pollInterval = 100 * time.Millisecond
	systemNode   = "system"
)

// readyFile is the content of ready.json.
type readyFile struct {
	Kubeconfig string `json:"kubeconfig"`
	Server     string `json:"server"`
	Control    string `json:"control"`
	PID        int    `json:"pid"`
}

func writeReady(layout controlplane.Layout, plane *controlplane.ControlPlane) error {
	data, err := json.MarshalIndent(readyFile{
		Kubeconfig: layout.Kubeconfig(), Server: plane.Server, Control: layout.Control(), PID: os.Getpid(),
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", layout.Ready(), err)
	}
	part := layout.Ready() + ".part"
	if err := os.WriteFile(part, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", layout.Ready(), err)
	}
	if err := os.Rename(part, layout.Ready()); err != nil {
		return fmt.Errorf("writing %s: %w", layout.Ready(), err)
	}
	return nil
}

func readReady(layout controlplane.Layout) (readyFile, error) {
	var r readyFile
	data, err := os.ReadFile(layout.Ready())
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("reading %s: %w", layout.Ready(), err)
	}
	return r, nil
}

// takeOver makes this process the only owner of the state folder and removes
// what an earlier owner left, processes and files.
func takeOver(layout controlplane.Layout) (release func(), err error) {
	lock, err := os.OpenFile(layout.Lock(), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("a cluster runs in %s already; stop it with: localcluster down --state %s", layout.State, layout.State)
	}
	if left := process.KillMarked(leftoverTimeout, process.StateMarker+"="+layout.State); len(left) > 0 {
		lock.Close()
		return nil, fmt.Errorf("processes %v of an earlier run could not be ended", left)
	}
	if err := layout.Clean(); err != nil {
		lock.Close()
		return nil, err
	}
	if err := writeOwner(lock); err != nil {
		lock.Close()
		return nil, err
	}
	return func() { lock.Close() }, nil
}

// writeOwner writes this process's id into the lock file, for down.
func writeOwner(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	if _, err := fmt.Fprintln(lock, os.Getpid()); err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	return nil
}

func readOwner(layout controlplane.Layout) (int, error) {
	data, err := os.ReadFile(layout.Lock())
	if err != nil {
		return 0, fmt.Errorf("reading the lock: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, fmt.Errorf("the lock %s names no process: %w", layout.Lock(), err)
	}
	return pid, nil
}

// locked says whether a supervisor runs in the folder.
func locked(layout controlplane.Layout) bool {
	lock, err := os.Open(layout.Lock())
	if err != nil {
		return false
	}
	defer lock.Close()
	return errors.Is(syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// becomeReady starts the system node and waits for everything that users rely
// on.
func becomeReady(ctx context.Context, o options, machines *cloud.Cloud, client kubernetes.Interface, say func(string, ...any)) error {
	if o.systemNode {
		if err := machines.LaunchSystem(systemNode); err != nil {
			return err
		}
	}
	err := waitFor(ctx, "the default ServiceAccount", func() (bool, error) {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, err
	})
	if err != nil || !o.systemNode {
		return err
	}
	say("default ServiceAccount present")
	return waitFor(ctx, "the system node", func() (bool, error) {
		n, err := client.CoreV1().Nodes().Get(ctx, systemNode, metav1.GetOptions{})
		return err == nil && cloud.Schedulable(n), err
	})
}

// waitFor polls until done returns true. It continues on "not found" and while
// the API server starts.
func waitFor(ctx context.Context, what string, done func() (bool, error)) error {
	for {
		ok, err := done()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("waiting for %s: %w (last error: %w)", what, ctx.Err(), err)
			}
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-time.After(pollInterval):
		}
	}
}

// checkedTable resolves the image table's path and reads it once, so that a
// mistake is reported at once and not by every node.
func checkedTable(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", path, err)
	}
	_, err = images.NewTable(abs)
	return abs, err
}
