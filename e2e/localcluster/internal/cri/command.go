package cri

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"

	"imagejob.dev/localcluster/internal/pki"
	"imagejob.dev/localcluster/internal/translate"
)

// Paths inside a container that exist in every Pod.
const (
	serviceAccountPath = "/var/run/secrets/kubernetes.io/serviceaccount"
	temporaryPath      = "/tmp"
	namespaceLabel     = "io.kubernetes.pod.namespace"
)

// podIPVariable tells a program the address it must listen on.
const podIPVariable = "LOCALCLUSTER_POD_IP"

// terminationLogVariable tells a program where its termination message is read,
// because the process has no /dev of its own.
const terminationLogVariable = "LOCALCLUSTER_TERMINATION_LOG"

// inherited are the node's own variables that a process gets unless the image
// or the container sets them.
var inherited = []string{"PATH", "HOME", "LANG"}

// command builds the process that runs in place of a container: the image's
// command with the container's args, and the environment, both translated.
func (r *Runtime) command(c *container) (*exec.Cmd, error) {
	image, err := r.opts.Images.Find(c.config.GetImage().GetUserSpecifiedImage())
	if err != nil {
		return nil, err
	}
	tr := c.translator()
	env, err := r.environment(c, image.Env, tr)
	if err != nil {
		return nil, err
	}
	expand := expansion.MappingFuncFor(env)
	var argv []string
	for _, arg := range image.Command {
		argv = append(argv, expansion.Expand(arg, expand))
	}
	for _, arg := range c.config.GetArgs() {
		argv = append(argv, tr.Text(arg))
	}
	argv = c.cgroup.Enter(argv)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = c.scratch
	if dir, ok := tr.Path(c.config.GetWorkingDir()); ok {
		cmd.Dir = dir
	}
	cmd.Env = flatten(env)
	return cmd, cmd.Err
}

func (c *container) translator() *translate.Translator {
	var mounts []translate.Mount
	for _, m := range c.config.GetMounts() {
		mounts = append(mounts, translate.Mount{Container: filepath.Clean(m.GetContainerPath()), Host: m.GetHostPath()})
	}
	return translate.New(mounts, c.sandbox.ip.String(), c.sandbox.ports)
}

// environment merges, weakest first: the node's own variables, the image's
// defaults, the container's variables, and the replacements for the Pod
// network.
func (r *Runtime) environment(c *container, imageEnv map[string]string, tr *translate.Translator) (map[string]string, error) {
	env := map[string]string{}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env[name] = value
		}
	}
	for _, pair := range r.opts.Env {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	env[podIPVariable] = c.sandbox.ip.String()
	if dir, ok := tr.Path(temporaryPath); ok {
		env["TMPDIR"] = dir
	}
	if file, ok := tr.Path(v1.TerminationMessagePathDefault); ok {
		env[terminationLogVariable] = file
	}
	own := map[string]string{}
	for _, kv := range c.config.GetEnvs() {
		own[kv.GetKey()] = tr.Text(string(kv.GetValue()))
	}
	expand := expansion.MappingFuncFor(own, env)
	for name, value := range imageEnv {
		env[name] = expansion.Expand(value, expand)
	}
	maps.Copy(env, own)
	if err := r.addAPIServer(c, env, tr); err != nil {
		return nil, err
	}
	return env, nil
}

// addAPIServer gives the process the address of the API server. The Service
// address of the kubelet does not work without a Pod network, and the token is
// not where in-cluster clients look, so the process gets a kubeconfig.
func (r *Runtime) addAPIServer(c *container, env map[string]string, tr *translate.Translator) error {
	server, err := url.Parse(r.opts.Server)
	if err != nil {
		return fmt.Errorf("the API server's URL: %w", err)
	}
	host, port, err := net.SplitHostPort(server.Host)
	if err != nil {
		return fmt.Errorf("the API server's URL: %w", err)
	}
	env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"] = host, port
	account, ok := tr.Path(serviceAccountPath)
	if _, taken := env["KUBECONFIG"]; !ok || taken {
		return nil
	}
	path := filepath.Join(c.scratch, "kubeconfig")
	env["KUBECONFIG"] = path
	return pki.WriteTokenKubeconfig(path, r.opts.Server,
		filepath.Join(account, "ca.crt"), filepath.Join(account, "token"),
		c.sandbox.config.GetLabels()[namespaceLabel])
}

func flatten(env map[string]string) []string {
	var pairs []string
	for _, name := range slices.SortedFunc(maps.Keys(env), cmp.Compare[string]) {
		pairs = append(pairs, name+"="+env[name])
	}
	return pairs
}
