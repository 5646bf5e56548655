package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"imagejob.dev/localcluster/internal/cloud"
	"imagejob.dev/localcluster/internal/controlplane"
)

// defaultNotice is the notice of AWS.
const defaultNotice = 120 * time.Second

// readHeaderTimeout keeps a stuck client from holding a connection for ever.
const readHeaderTimeout = 5 * time.Second

// Server is the control API of one cluster.
type Server struct {
	machines *cloud.Cloud
	plane    *controlplane.ControlPlane
}

// Serve answers on the socket until ctx ends.
func Serve(ctx context.Context, socket string, machines *cloud.Cloud, plane *controlplane.ControlPlane) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listening on the control socket: %w", err)
	}
	s := &Server{machines: machines, plane: plane}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: readHeaderTimeout}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }() // Ends with Close.
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /nodes", answer(s.list))
	mux.HandleFunc("POST /nodes", answer(s.add))
	mux.HandleFunc("POST /nodes/{name}/{verb}", answer(s.act))
	mux.HandleFunc("POST /zones/{zone}/kill", answer(s.killZone))
	mux.HandleFunc("POST /traces/restart", answer(s.restartTraces))
	mux.HandleFunc("GET /components", answer(s.components))
	mux.HandleFunc("POST /components/{name}/{verb}", answer(s.component))
	return mux
}

// answer writes the result of a handler, or its error as 409, because every
// refusal depends on the state of machines and components.
func answer(handle func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := handle(r)
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(http.StatusConflict)
			body = failure{Error: err.Error()}
		}
		_ = json.NewEncoder(w).Encode(body) // The client has gone.
	}
}

func (s *Server) list(*http.Request) (any, error) {
	machines := []machine{}
	for _, m := range s.machines.Machines() {
		machines = append(machines, describe(m))
	}
	return machines, nil
}

func (s *Server) add(r *http.Request) (any, error) {
	name, err := s.machines.Launch(r.URL.Query().Get("group"))
	return added{Name: name}, err
}

func (s *Server) act(r *http.Request) (any, error) {
	name := r.PathValue("name")
	var err error
	switch verb := r.PathValue("verb"); verb {
	case "kill":
		err = s.machines.Kill(name)
	case "silence":
		err = s.machines.Silence(name)
	case "resume":
		err = s.machines.Resume(name)
	case "interrupt":
		err = s.interrupt(r, name)
	case "drain":
		err = s.machines.Drain(r.Context(), name)
	default:
		err = fmt.Errorf("unknown verb %q: want kill, silence, resume, interrupt or drain", verb)
	}
	return struct{}{}, err
}

func (s *Server) interrupt(r *http.Request, name string) error {
	notice := defaultNotice
	if text := r.URL.Query().Get("notice"); text != "" {
		var err error
		if notice, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("the notice: %w", err)
		}
	}
	return s.machines.Interrupt(r.Context(), name, notice)
}

func (s *Server) killZone(r *http.Request) (any, error) {
	names, err := s.machines.KillZone(r.PathValue("zone"))
	return killed{Names: names}, err
}

func (s *Server) restartTraces(*http.Request) (any, error) {
	s.machines.RestartTraces()
	return struct{}{}, nil
}

func (s *Server) components(*http.Request) (any, error) { return s.plane.Components(), nil }

// component acts on the API server only: the absence of another component is
// not visible elsewhere, and without etcd there is no API server.
func (s *Server) component(r *http.Request) (any, error) {
	if name := r.PathValue("name"); name != controlplane.APIServer {
		return nil, fmt.Errorf("component %q can't be stopped: want %s", name, controlplane.APIServer)
	}
	switch verb := r.PathValue("verb"); verb {
	case "stop":
		s.plane.StopAPIServer()
	case "kill":
		s.plane.KillAPIServer()
	case "start", "restart":
		return struct{}{}, s.plane.RestartAPIServer(r.Context())
	default:
		return nil, fmt.Errorf("unknown verb %q: want stop, kill, start or restart", verb)
	}
	return struct{}{}, nil
}
