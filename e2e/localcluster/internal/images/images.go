// Package images has the table of the programs that run in place of container
// images.
package images

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// ErrUnknown means that no entry matches an image.
var ErrUnknown = errors.New("not in the image table")

// Image is what runs in place of a container image. In Command and Env,
// $(NAME) is replaced by the container's environment variable NAME.
type Image struct {
	// Command is the program and its first arguments. The container's args
	// follow; the container's own command, if any, is dropped.
	Command []string `json:"command"`
	// Env is the image's default environment; the container's wins.
	Env map[string]string `json:"env,omitempty"`
	// Pull is how long the first pull on each node takes.
	Pull metav1.Duration `json:"pull,omitempty"`
}

// Table reads a file of image name → Image, again whenever the file changes.
// A name may end in * to match every image that begins so.
type Table struct {
	path string

	mu      sync.Mutex
	changed time.Time
	size    int64
	entries map[string]Image
}

// NewTable reads the table at path; an empty path is an empty table.
func NewTable(path string) (*Table, error) {
	t := &Table{path: path}
	if err := t.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Find returns the entry for an image: the exact name with or without its
// tag :latest, else the longest matching name that ends in *.
func (t *Table) Find(image string) (Image, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.reload(); err != nil {
		return Image{}, err
	}
	if entry, ok := match(t.entries, image); ok {
		return entry, nil
	}
	if t.path == "" {
		return Image{}, fmt.Errorf("image %q is %w, which is empty: start the cluster with --images FILE", image, ErrUnknown)
	}
	return Image{}, fmt.Errorf("image %q is %w %s: add an entry for it", image, ErrUnknown, t.path)
}

func (t *Table) reload() error {
	if t.path == "" {
		return nil
	}
	info, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("reading the image table: %w", err)
	}
	if info.ModTime().Equal(t.changed) && info.Size() == t.size {
		return nil
	}
	data, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("reading the image table: %w", err)
	}
	entries, err := parse(data)
	if err != nil {
		return fmt.Errorf("the image table %s: %w", t.path, err)
	}
	t.entries, t.changed, t.size = entries, info.ModTime(), info.Size()
	return nil
}

func parse(data []byte) (map[string]Image, error) {
	entries := map[string]Image{}
	if err := yaml.UnmarshalStrict(data, &entries); err != nil {
		return nil, err
	}
	for name, image := range entries {
		if len(image.Command) == 0 || image.Command[0] == "" {
			return nil, fmt.Errorf("%q has no command", name)
		}
		if i := strings.IndexByte(name, '*'); i >= 0 && i != len(name)-1 {
			return nil, fmt.Errorf("%q: * may only stand at the end", name)
		}
	}
	return entries, nil
}

func match(entries map[string]Image, image string) (Image, bool) {
	// The kubelet adds :latest to an image without a tag.
	for _, name := range []string{image, strings.TrimSuffix(image, ":latest"), image + ":latest"} {
		if entry, ok := entries[name]; ok {
			return entry, true
		}
	}
	best, found := "", false
	for name := range entries {
		prefix, isPattern := strings.CutSuffix(name, "*")
		if isPattern && strings.HasPrefix(image, prefix) && (!found || len(name) > len(best)) {
			best, found = name, true
		}
	}
	return entries[best], found
}
