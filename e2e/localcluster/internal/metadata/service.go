// Package metadata is the metadata service that a cloud gives each machine, in
// the formats of AWS, GCP and Azure. It has the parts that report a machine's
// end.
package metadata

import (
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Provider is the cloud whose format the service has.
type Provider string

// The providers.
const (
	AWS   Provider = "aws"
	GCP   Provider = "gcp"
	Azure Provider = "azure"
)

// Providers lists them all.
var Providers = []Provider{AWS, GCP, Azure}

// Known says whether there is such a provider.
func (p Provider) Known() bool { return slices.Contains(Providers, p) }

// readHeaderTimeout keeps a stuck client from holding a connection for ever.
const readHeaderTimeout = 5 * time.Second

// notice is the time at which a machine learned of its end, and the time of
// that end.
type notice struct {
	given    time.Time
	deadline time.Time
}

// Service answers the processes of one machine.
type Service struct {
	server *http.Server

	mu     sync.Mutex
	notice *notice
}

// Serve answers on listener until Close.
func Serve(listener net.Listener, provider Provider, machine string) *Service {
	s := &Service{}
	s.server = &http.Server{Handler: s.handler(provider, machine), ReadHeaderTimeout: readHeaderTimeout}
	go func() { _ = s.server.Serve(listener) }() // Ends with Close.
	return s
}

// Notify gives notice that the machine stops at deadline.
func (s *Service) Notify(given, deadline time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notice = &notice{given: given, deadline: deadline}
}

// Close ends the service and frees its address.
func (s *Service) Close() { _ = s.server.Close() }

func (s *Service) current() *notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notice
}

func (s *Service) handler(provider Provider, machine string) http.Handler {
	mux := http.NewServeMux()
	switch provider {
	case AWS:
		s.addAWS(mux, machine)
	case GCP:
		s.addGCP(mux)
	case Azure:
		s.addAzure(mux, machine)
	}
	return mux
}
