package limits

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// errNotRoot is the reason why other users get no file systems.
var errNotRoot = errors.New("only root may mount file systems")

// CanMount says whether machines can have disks of their own.
func CanMount() error {
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	return nil
}

// OwnMounts gives a process its own mounts: no other process sees what it
// mounts, and the mounts end with the last process that has them.
func OwnMounts(attributes *syscall.SysProcAttr) { attributes.Cloneflags |= syscall.CLONE_NEWNS }

// Disk mounts a disk of this size at a folder, for this process and those that
// it starts. Writes above the size fail with "No space left on device".
func Disk(dir string, bytes int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the disk's folder: %w", err)
	}
	// Without this the machine's other processes would see the mount too.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping the disk to ourselves: %w", err)
	}
	if err := unix.Mount("disk", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", bytes)); err != nil {
		return fmt.Errorf("mounting a disk of %d bytes at %s: %w", bytes, dir, err)
	}
	return nil
}
