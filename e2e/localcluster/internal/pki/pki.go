// Package pki is a cluster's own certificate authority and the kubeconfig
// files that trust it.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity of every certificate: far longer than any cluster here lives.
const validity = 10 * 365 * 24 * time.Hour

// CA is a certificate authority whose files lie in one folder.
type CA struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// Identity says whom a certificate speaks for. Hosts are names or addresses it
// may serve; without any it is a client certificate.
type Identity struct {
	CommonName    string
	Organizations []string
	Hosts         []string
}

// Pair is the paths of a certificate and its key.
type Pair struct {
	Cert string
	Key  string
}

// NewCA makes an authority and writes ca.crt into dir.
func NewCA(dir string) (*CA, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the certificate folder: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the CA key: %w", err)
	}
	template, err := newTemplate(pkix.Name{CommonName: "localcluster-ca"})
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading back the CA certificate: %w", err)
	}
	ca := &CA{dir: dir, cert: cert, key: key, pem: encodeCert(der)}
	if err := os.WriteFile(ca.CertPath(), ca.pem, 0o644); err != nil {
		return nil, fmt.Errorf("writing the CA certificate: %w", err)
	}
	return ca, nil
}

// CertPath is the file that others trust.
func (ca *CA) CertPath() string { return filepath.Join(ca.dir, "ca.crt") }

// Issue signs a new key pair and writes <file>.crt and <file>.key.
func (ca *CA) Issue(file string, id Identity) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("generating the key of %s: %w", file, err)
	}
	template, err := newTemplate(pkix.Name{CommonName: id.CommonName, Organization: id.Organizations})
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, host := range id.Hosts {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return Pair{}, fmt.Errorf("signing the certificate of %s: %w", file, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encoding the key of %s: %w", file, err)
	}
	pair := Pair{Cert: filepath.Join(ca.dir, file+".crt"), Key: filepath.Join(ca.dir, file+".key")}
	if err := os.WriteFile(pair.Cert, encodeCert(der), 0o644); err != nil {
		return Pair{}, fmt.Errorf("writing the certificate of %s: %w", file, err)
	}
	if err := writeKey(pair.Key, keyDER); err != nil {
		return Pair{}, err
	}
	return pair, nil
}

// NewSigningKey writes an RSA key for ServiceAccount tokens: RS256 is the one
// algorithm every OIDC verifier knows.
func NewSigningKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("generating the token signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the token signing key: %w", err)
	}
	return writeKey(path, der)
}

func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		// Clocks of containers on one machine may differ a little.
		NotBefore: time.Now().Add(-5 * time.Minute),
		NotAfter:  time.Now().Add(validity),
	}, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func writeKey(path string, der []byte) error {
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		return fmt.Errorf("writing the key %s: %w", path, err)
	}
	return nil
}
