// Package controlplane runs etcd, the API server, the controller manager and
// the scheduler of one cluster as child processes.
package controlplane

import (
	"fmt"
	"os"
	"path/filepath"

	"imagejob.dev/localcluster/internal/pki"
)

// Layout is where a cluster keeps its files, all below one state folder.
type Layout struct {
	State string
}

// The kernel allows a unix socket's path 107 bytes. The longest ones are the
// kubelets' nodes/<name>/disk/pod-resources/kubelet.sock; maxState leaves room for
// names of 20 bytes.
const (
	maxSocket     = 107
	kubeletSocket = "disk/pod-resources/kubelet.sock"
	maxState      = maxSocket - len("/nodes//"+kubeletSocket) - 20
)

// NewLayout resolves the state folder and creates it.
func NewLayout(state string) (Layout, error) {
	abs, err := filepath.Abs(state)
	if err != nil {
		return Layout{}, fmt.Errorf("resolving the state folder %s: %w", state, err)
	}
	if len(abs) > maxState {
		return Layout{}, fmt.Errorf("the state folder %s is longer than %d bytes, which unix sockets below it cannot bear: choose a shorter path", abs, maxState)
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return Layout{}, fmt.Errorf("creating the state folder: %w", err)
	}
	return Layout{State: abs}, nil
}

func (l Layout) path(elem string) string { return filepath.Join(l.State, elem) }

// Kubeconfig is the administrator's kubeconfig.
func (l Layout) Kubeconfig() string { return l.path("kubeconfig") }

// Ready exists while the cluster is up.
func (l Layout) Ready() string { return l.path("ready.json") }

// Control is the unix socket of the control API.
func (l Layout) Control() string { return l.path("control.sock") }

// Lock is held by the running supervisor.
func (l Layout) Lock() string { return l.path("lock") }

// PKI holds certificates, keys and the components' kubeconfigs.
func (l Layout) PKI() string { return l.path("pki") }

// Nodes holds one folder for each node.
func (l Layout) Nodes() string { return l.path("nodes") }

// Node is a node's folder.
func (l Layout) Node(name string) string { return filepath.Join(l.Nodes(), name) }

// CheckNodeName refuses a name too long for the node's unix sockets.
func (l Layout) CheckNodeName(name string) error {
	if over := len(filepath.Join(l.Node(name), kubeletSocket)) - maxSocket; over > 0 {
		return fmt.Errorf("node name %q is %d bytes too long for unix sockets below %s: choose a shorter group name or state folder", name, over, l.State)
	}
	return nil
}

// Log is the log file of a component or node.
func (l Layout) Log(name string) string { return filepath.Join(l.State, "logs", name+".log") }

func (l Layout) etcdData() string   { return l.path("etcd") }
func (l Layout) etcdSocket() string { return l.path("etcd.sock") }
func (l Layout) etcdPeer() string   { return l.path("peer.sock") }

// Clean removes the files of an earlier run, because a cluster always starts
// empty. It names each file, since the user may have given a folder of their
// own.
func (l Layout) Clean() error {
	leftovers := []string{l.Ready(), l.Control(), l.Kubeconfig(), l.etcdSocket(), l.etcdPeer(), l.etcdData(), l.PKI(), l.Nodes(), l.path("logs")}
	for _, path := range leftovers {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("removing what an earlier run left: %w", err)
		}
	}
	for _, dir := range []string{l.PKI(), l.Nodes(), l.path("logs")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("preparing the state folder: %w", err)
		}
	}
	return nil
}

// credentials are the files that the components need to know each other.
type credentials struct {
	ca            *pki.CA
	serving       pki.Pair
	kubeletClient pki.Pair
	signingKey    string
}

func newCredentials(l Layout) (*credentials, error) {
	ca, err := pki.NewCA(l.PKI())
	if err != nil {
		return nil, err
	}
	c := &credentials{ca: ca, signingKey: filepath.Join(l.PKI(), "service-account.key")}
	if err := pki.NewSigningKey(c.signingKey); err != nil {
		return nil, err
	}
	c.serving, err = ca.Issue("apiserver", pki.Identity{
		CommonName: "kube-apiserver",
		Hosts: []string{
			apiserverHost, "localhost", serviceIP,
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		},
	})
	if err != nil {
		return nil, err
	}
	c.kubeletClient, err = ca.Issue("apiserver-kubelet-client", pki.Identity{
		CommonName: "kube-apiserver-kubelet-client", Organizations: []string{"system:masters"},
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// writeKubeconfigs writes those of the administrator, which the controllers use
// too, and the scheduler.
func (c *credentials) writeKubeconfigs(l Layout, server string) error {
	admin := pki.Identity{CommonName: "localcluster-admin", Organizations: []string{"system:masters"}}
	if err := c.ca.WriteKubeconfig(l.Kubeconfig(), "admin", server, admin); err != nil {
		return err
	}
	id := pki.Identity{CommonName: "system:" + scheduler}
	return c.ca.WriteKubeconfig(l.componentKubeconfig(scheduler), scheduler, server, id)
}

func (l Layout) componentKubeconfig(name string) string {
	return filepath.Join(l.PKI(), name+".kubeconfig")
}
