package pki

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const contextName = "localcluster"

// WriteKubeconfig issues a client certificate for id and writes a
// self-contained kubeconfig with it.
func (ca *CA) WriteKubeconfig(path, file, server string, id Identity) error {
	pair, err := ca.Issue(file, id)
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(pair.Cert)
	if err != nil {
		return fmt.Errorf("reading back %s: %w", pair.Cert, err)
	}
	key, err := os.ReadFile(pair.Key)
	if err != nil {
		return fmt.Errorf("reading back %s: %w", pair.Key, err)
	}
	config := newKubeconfig(
		&clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca.pem},
		&clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key},
		"default")
	return writeKubeconfig(path, config)
}

// WriteTokenKubeconfig writes a kubeconfig that reads its token and its CA
// from files at every use, so that a rotated token is picked up.
func WriteTokenKubeconfig(path, server, caFile, tokenFile, namespace string) error {
	config := newKubeconfig(
		&clientcmdapi.Cluster{Server: server, CertificateAuthority: caFile},
		&clientcmdapi.AuthInfo{TokenFile: tokenFile},
		namespace)
	return writeKubeconfig(path, config)
}

func newKubeconfig(cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo, namespace string) *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	config.Clusters[contextName] = cluster
	config.AuthInfos[contextName] = user
	config.Contexts[contextName] = &clientcmdapi.Context{Cluster: contextName, AuthInfo: contextName, Namespace: namespace}
	config.CurrentContext = contextName
	return config
}

func writeKubeconfig(path string, config *clientcmdapi.Config) error {
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("writing the kubeconfig %s: %w", path, err)
	}
	return nil
}
