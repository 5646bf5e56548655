package limits

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mounts := file("mountinfo", "1 2 0:3 / "+dir+"/unified rw - cgroup2 cgroup2 rw\n"+
		"1 2 0:4 / "+dir+"/memory rw - cgroup cgroup rw,memory\n")
	own := file("cgroup", "4:memory:/mine\n0::/user/session\n")
	file("unified/cgroup.subtree_control", "cpu memory pids\n")
	file("unified/user/cgroup.subtree_control", "memory\n")
	file("unified/user/session/cgroup.subtree_control", "\n")
	file("memory/mine/cgroup.procs", "")
	file("memory/cgroup.procs", "")

	var got []string
	for _, place := range places(mounts, own) {
		path, err := filepath.Rel(dir, place.dir)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, place.version.name+" "+path)
	}
	want := []string{"cgroups v2 unified/user", "cgroups v2 unified", "cgroups v1 memory/mine", "cgroups v1 memory"}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	memory, err := NewMemory("localcluster-test-" + filepath.Base(t.TempDir()))
	if err != nil {
		t.Skipf("not enforced here: %v", err)
	}
	defer memory.Remove()
	cgroup, err := memory.Limit("container", 32<<20)
	if err != nil {
		t.Fatal(err)
	}
	run := func(script string) error {
		argv := cgroup.Enter([]string{"sh", "-c", script})
		return exec.Command(argv[0], argv[1:]...).Run()
	}
	if err := run("exit 0"); err != nil || cgroup.OOMKilled() {
		t.Errorf("a modest process: %v", err)
	}
	// A string of 64 MiB.
	if err := run("x=$(head -c 67108864 /dev/zero | tr '\\0' x); exit 0"); err == nil || !cgroup.OOMKilled() {
		t.Errorf("a process beyond its limit ended with %v, and was killed: %v", err, cgroup.OOMKilled())
	}
	cgroup.Remove()
	if _, err := os.Stat(cgroup.dir); !os.IsNotExist(err) {
		t.Errorf("the cgroup is still there: %v", err)
	}
	if OpenMemory(memory.Dir()).version.name != memory.version.name {
		t.Error("another process takes it for another version")
	}
}
