package images

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	entries := map[string]Image{
		"worker":           {Command: []string{"exact"}},
		"tagged:v1":        {Command: []string{"tagged"}},
		"registry.test/*":  {Command: []string{"short"}},
		"registry.test/a*": {Command: []string{"long"}},
	}
	for _, tc := range []struct{ image, want string }{
		{"worker", "exact"},
		{"worker:latest", "exact"},
		{"worker:v2", ""},
		{"tagged:v1", "tagged"},
		{"registry.test/b:v1", "short"},
		{"registry.test/abc@sha256:00", "long"},
		{"other", ""},
	} {
		got, ok := match(entries, tc.image)
		if !ok {
			got.Command = []string{""}
		}
		if got.Command[0] != tc.want {
			t.Errorf("%s: got %q, want %q", tc.image, got.Command[0], tc.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ name, yaml, want string }{
		{"no command", "a: {env: {X: y}}", "no command"},
		{"unknown field", "a: {command: [x], cmd: [y]}", "unknown field"},
		{"star inside", `"a*b": {command: [x]}`, "at the end"},
		{"bad duration", "a: {command: [x], pull: soon}", "invalid duration"},
	} {
		if _, err := parse([]byte(tc.yaml)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}

func TestTableFollowsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "images.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a: {command: [x], pull: 1500ms}")
	table, err := NewTable(path)
	if err != nil {
		t.Fatal(err)
	}
	image, err := table.Find("a")
	if err != nil || image.Pull.Duration != 1500*time.Millisecond {
		t.Fatalf("got %+v, %v", image, err)
	}
	if _, err := table.Find("later"); !errors.Is(err, ErrUnknown) {
		t.Fatalf("got %v, want ErrUnknown", err)
	}
	write("a: {command: [x]}\nlater: {command: [y]}")
	if _, err := table.Find("later"); err != nil {
		t.Fatalf("the changed file was not read: %v", err)
	}
}
