package cri

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"imagejob.dev/localcluster/internal/images"
)

const (
	// imageUser passes runAsNonRoot; the process runs as the user of the node.
	imageUser = 65532
	// imageBytes is the reported size of every image.
	imageBytes = 1 << 20
)

// Images implements the CRI ImageService: an image can be pulled if the table
// has it, and is then present on this node.
type Images struct {
	table *images.Table
	root  string

	mu     sync.Mutex
	pulled map[string]bool
}

// NewImages pulls from the table. Root is the file system it reports on.
func NewImages(table *images.Table, root string) *Images {
	return &Images{table: table, root: root, pulled: map[string]bool{}}
}

func imageID(name string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))) }

func describe(name string) *runtimeapi.Image {
	return &runtimeapi.Image{
		Id:       imageID(name),
		RepoTags: []string{name},
		Size:     imageBytes,
		Uid:      &runtimeapi.Int64Value{Value: imageUser},
		Spec:     &runtimeapi.ImageSpec{Image: name},
	}
}

// ListImages lists what was pulled.
func (s *Images) ListImages(context.Context, *runtimeapi.ImageFilter) ([]*runtimeapi.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*runtimeapi.Image
	for name := range s.pulled {
		list = append(list, describe(name))
	}
	return list, nil
}

// ImageStatus describes a pulled image, by name or id; it is empty otherwise.
func (s *Images) ImageStatus(_ context.Context, spec *runtimeapi.ImageSpec, _ bool) (*runtimeapi.ImageStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.pulled {
		// The kubelet asks for "name" after it pulled "name:latest".
		if asked := spec.GetImage(); asked == name || asked == imageID(name) || asked+":latest" == name {
			return &runtimeapi.ImageStatusResponse{Image: describe(name)}, nil
		}
	}
	return &runtimeapi.ImageStatusResponse{}, nil
}

// PullImage takes as long as the table says, on a node that lacks the image.
func (s *Images) PullImage(ctx context.Context, spec *runtimeapi.ImageSpec, _ *runtimeapi.AuthConfig, _ *runtimeapi.PodSandboxConfig) (string, error) {
	name := strings.TrimSpace(spec.GetImage())
	image, err := s.table.Find(name)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	present := s.pulled[name]
	s.mu.Unlock()
	if !present {
		select {
		case <-time.After(image.Pull.Duration):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulled[name] = true
	return imageID(name), nil
}

// RemoveImage forgets an image, so that the next pull takes its time again.
func (s *Images) RemoveImage(_ context.Context, spec *runtimeapi.ImageSpec) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.pulled {
		if spec.GetImage() == name || spec.GetImage() == imageID(name) {
			delete(s.pulled, name)
		}
	}
	return nil
}

// ImageFsInfo reports an image store that is never full.
func (s *Images) ImageFsInfo(context.Context) (*runtimeapi.ImageFsInfoResponse, error) {
	usage := &runtimeapi.FilesystemUsage{
		Timestamp:  time.Now().UnixNano(),
		FsId:       &runtimeapi.FilesystemIdentifier{Mountpoint: s.root},
		UsedBytes:  &runtimeapi.UInt64Value{Value: imageBytes},
		InodesUsed: &runtimeapi.UInt64Value{Value: 1},
	}
	return &runtimeapi.ImageFsInfoResponse{
		ImageFilesystems:     []*runtimeapi.FilesystemUsage{usage},
		ContainerFilesystems: []*runtimeapi.FilesystemUsage{usage},
	}, nil
}

// Close has no connection to close.
func (s *Images) Close(context.Context) error { return nil }
