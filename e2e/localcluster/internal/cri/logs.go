package cri

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// logLineBytes is where the CRI log format splits a long line, as
	// containerd does.
	logLineBytes = 16 << 10
	// pipeBytes lets a process write while its node is stopped. It is the
	// largest size that Linux grants without privileges by default.
	pipeBytes = 1 << 20
	// drainTimeout bounds the wait for output after the process has ended;
	// something that left its process group may hold the pipe open.
	drainTimeout = time.Second
)

// containerLog writes a container's output in the CRI log format: "<RFC 3339
// time> <stdout|stderr> <F|P> <text>", where P marks a line that continues.
type containerLog struct {
	mu      sync.Mutex
	file    *os.File
	readers []*os.File
	copying sync.WaitGroup
}

func openLog(path string) (*containerLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("creating the log folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the container log: %w", err)
	}
	return &containerLog{file: file}, nil
}

// pipes returns the write ends for the process; the caller closes them once it
// has started.
func (l *containerLog) pipes() (stdout, stderr *os.File, err error) {
	if stdout, err = l.pipe("stdout"); err != nil {
		return nil, nil, err
	}
	if stderr, err = l.pipe("stderr"); err != nil {
		stdout.Close()
		return nil, nil, err
	}
	return stdout, stderr, nil
}

func (l *containerLog) pipe(stream string) (*os.File, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("creating a log pipe: %w", err)
	}
	// This fails when the user's pipe quota is used up; the default size is
	// enough then.
	_, _ = unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, pipeBytes)
	l.readers = append(l.readers, reader)
	l.copying.Go(func() { l.copy(stream, reader) })
	return writer, nil
}

func (l *containerLog) copy(stream string, from io.Reader) {
	lines := bufio.NewReaderSize(from, logLineBytes)
	for {
		line, err := lines.ReadSlice('\n')
		tag := "P"
		if n := len(line); n > 0 && line[n-1] == '\n' {
			tag, line = "F", line[:n-1]
		}
		if len(line) > 0 || tag == "F" {
			l.write(stream, tag, line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (l *containerLog) write(stream, tag string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A full disk loses log lines, never the container.
	_, _ = fmt.Fprintf(l.file, "%s %s %s %s\n", time.Now().Format(time.RFC3339Nano), stream, tag, line)
}

// reopen continues in a new file after the kubelet has rotated the old one.
func (l *containerLog) reopen(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("reopening the container log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.Close()
	l.file = file
	return nil
}

// finish waits for the rest of the output and closes the log.
func (l *containerLog) finish() {
	drained := make(chan struct{})
	go func() {
		l.copying.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(drainTimeout):
	}
	for _, reader := range l.readers {
		reader.Close()
	}
	<-drained
	l.file.Close()
}

// ReopenContainerLog is called by the kubelet's log rotation.
func (r *Runtime) ReopenContainerLog(_ context.Context, id string) error {
	r.mu.Lock()
	c, ok := r.containers[id]
	r.mu.Unlock()
	if !ok || c.logs == nil {
		return notFound("container", id)
	}
	return c.logs.reopen(c.logPath)
}
