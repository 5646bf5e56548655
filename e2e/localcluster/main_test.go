package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"imagejob.dev/localcluster/internal/process"
)

// TestMain makes the test binary every program of the cluster, as the real one
// is, and the programs that run in its Pods.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if run := podPrograms[os.Args[1]]; run != nil {
			if err := run(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	if programs[filepath.Base(os.Args[0])] != nil || (len(os.Args) > 1 && programs[os.Args[1]] != nil) {
		os.Exit(dispatch(os.Args))
	}
	os.Exit(m.Run())
}

var podPrograms = map[string]func(args []string) error{
	"test-engine": engine,
	"test-worker": worker,
	"test-parent": parent,
	"test-hungry": hungry,
	"test-writer": writer,
}

// engine listens on the address it is given.
func engine(args []string) error {
	return http.ListenAndServe(args[0], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "engine here")
	}))
}

// worker asks the engine, then the API server for what its ServiceAccount may
// and may not do, and creates the file it is given. It ends with SIGTERM.
func worker(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	resp, err := http.Get(os.Getenv("ENGINE_URL"))
	if err != nil {
		return err
	}
	resp.Body.Close()
	fmt.Println("engine:", resp.Status)
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	fmt.Println("pods:", apierrors.ReasonForError(err), err)
	_, err = client.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
	fmt.Println("secrets:", apierrors.ReasonForError(err))
	fmt.Println("greeting:", os.Getenv("GREETING"))
	if err := os.WriteFile(args[0], nil, 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	fmt.Println("draining")
	return nil
}

// parent leaves a child that ignores its parent's end.
func parent([]string) error {
	if err := exec.Command("sleep", "3600").Start(); err != nil {
		return err
	}
	select {}
}

// hungry takes so many MiB.
func hungry(args []string) error {
	megabytes, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var taken [][]byte
	for range megabytes {
		taken = append(taken, bytes.Repeat([]byte{1}, 1<<20))
	}
	fmt.Println("took", len(taken))
	return nil
}

// writer writes a file of so many MiB. Why it can't are its last words.
func writer(args []string) error {
	megabytes, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	err = os.WriteFile(args[0], make([]byte, megabytes<<20), 0o600)
	if err != nil {
		// The words need a little room themselves.
		_ = os.Remove(args[0])
		if err := os.WriteFile(os.Getenv("LAST_WORDS"), []byte(err.Error()), 0o600); err != nil {
			return err
		}
	}
	return err
}

// eventually waits until check returns nil.
func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// run is a cluster that a test has started.
type run struct {
	state string
	cmd   *exec.Cmd
	ended chan error
}

// startCluster starts one in a folder of its own and waits until it is ready.
func startCluster(t *testing.T, provisioner string) *run {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// t.TempDir is too deep for unix sockets.
	dir, err := os.MkdirTemp("", "lc")
	if err != nil {
		t.Fatal(err)
	}
	r := &run{state: filepath.Join(dir, "s"), ended: make(chan error, 1)}
	images := filepath.Join(dir, "images.yaml")
	table := fmt.Sprintf("test/engine: {command: [%[1]q, test-engine]}\ntest/worker: {command: [%[1]q, test-worker], env: {GREETING: from the image}}\ntest/parent: {command: [%[1]q, test-parent]}\n"+
		"test/hungry: {command: [%[1]q, test-hungry]}\n"+
		"test/writer: {command: [%[1]q, test-writer], env: {LAST_WORDS: $(LOCALCLUSTER_TERMINATION_LOG)}}\n", self)
	groups := filepath.Join(dir, "groups.yaml")
	for path, text := range map[string]string{images: table, groups: provisioner} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.cmd = exec.Command(self, "up", "--state", r.state, "--images", images, "--provisioner", groups)
	r.cmd.Stdout, r.cmd.Stderr = os.Stderr, os.Stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.cmd.Wait() }()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		process.KillMarked(10*time.Second, process.StateMarker+"="+r.state)
		if t.Failed() {
			t.Logf("the cluster's files are kept in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	eventually(t, 60*time.Second, "cluster ready", func() error {
		select {
		case err := <-r.ended:
			t.Fatalf("the supervisor ended: %v", err)
		default:
		}
		_, err := os.Stat(filepath.Join(r.state, "ready.json"))
		return err
	})
	return r
}

// command runs a localcluster command against the cluster.
func (r *run) command(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("/proc/self/exe", append(args, "--state", r.state)...).CombinedOutput()
	if err != nil {
		t.Fatalf("localcluster %v: %v\n%s", args, err, out)
	}
}

// gone fails while a process of the cluster, or of one node of it, is left.
func (r *run) gone(node ...string) error {
	markers := []string{process.StateMarker + "=" + r.state}
	for _, name := range node {
		markers = append(markers, process.NodeMarker+"="+name)
	}
	if pids := process.Marked(markers...); len(pids) > 0 {
		return fmt.Errorf("processes %v are left", pids)
	}
	return nil
}
