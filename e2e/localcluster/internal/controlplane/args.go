package controlplane

import "fmt"

// Names under which the binary runs a component.
const (
	etcd        = "etcd"
	APIServer   = "kube-apiserver"
	controllers = "kube-controllers"
	scheduler   = "kube-scheduler"
)

const (
	apiserverHost = "127.0.0.1"
	serviceRange  = "10.96.0.0/16"
	// serviceIP is the first address of serviceRange, that of the kubernetes Service.
	serviceIP = "10.96.0.1"
	// issuer is what real clusters use inside; it is in every ServiceAccount token.
	issuer = "https://kubernetes.default.svc.cluster.local"
)

// etcdArgs keep etcd on unix sockets: no port can be taken by another process,
// and only the folder's owner can connect. Without fsync etcd survives a crash
// of its process, but not of the machine, which is enough here.
func etcdArgs(l Layout) []string {
	client, peer := "unix://"+l.etcdSocket(), "unix://"+l.etcdPeer()
	return []string{
		"--name=default",
		"--data-dir=" + l.etcdData(),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		"--unsafe-no-fsync",
		"--log-level=warn",
	}
}

func apiserverArgs(l Layout, c *credentials, port int) []string {
	return []string{
		"--etcd-servers=unix://" + l.etcdSocket(),
		"--bind-address=" + apiserverHost,
		"--advertise-address=" + apiserverHost,
		fmt.Sprintf("--secure-port=%d", port),
		"--cert-dir=" + l.PKI(),
		"--tls-cert-file=" + c.serving.Cert,
		"--tls-private-key-file=" + c.serving.Key,
		"--client-ca-file=" + c.ca.CertPath(),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + c.signingKey,
		"--service-account-signing-key-file=" + c.signingKey,
		"--service-cluster-ip-range=" + serviceRange,
		"--kubelet-certificate-authority=" + c.ca.CertPath(),
		"--kubelet-client-certificate=" + c.kubeletClient.Cert,
		"--kubelet-client-key=" + c.kubeletClient.Key,
		"--kubelet-preferred-address-types=InternalIP",
		// The kubernetes Service would get a loopback endpoint, which is refused.
		"--endpoint-reconciler-type=none",
		"--profiling=false",
	}
}

func controllersArgs(l Layout, c *credentials) []string {
	return []string{
		"--kubeconfig=" + l.Kubeconfig(),
		"--root-ca-file=" + c.ca.CertPath(),
	}
}

func schedulerArgs(l Layout) []string {
	kubeconfig := l.componentKubeconfig(scheduler)
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--secure-port=0",
		"--leader-elect=false",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--profiling=false",
	}
}
