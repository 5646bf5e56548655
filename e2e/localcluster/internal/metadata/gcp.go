package metadata

import (
	"net/http"
	"time"
)

// gcpPoll is the time between two checks by a waiting request.
const gcpPoll = 100 * time.Millisecond

// addGCP serves the two values that report a machine's end. A client can wait
// for a change of either with ?wait_for_change=true.
func (s *Service) addGCP(mux *http.ServeMux) {
	get := func(path string, before, after string) {
		mux.HandleFunc("GET /computeMetadata/v1/instance/"+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Metadata-Flavor") != "Google" {
				http.Error(w, "missing header Metadata-Flavor: Google", http.StatusForbidden)
				return
			}
			if r.URL.Query().Get("wait_for_change") == "true" {
				s.awaitNotice(r)
			}
			w.Header().Set("Metadata-Flavor", "Google")
			text := before
			if s.current() != nil {
				text = after
			}
			_, _ = w.Write([]byte(text))
		})
	}
	get("preempted", "FALSE", "TRUE")
	get("maintenance-event", "NONE", "TERMINATE_ON_HOST_MAINTENANCE")
}

func (s *Service) awaitNotice(r *http.Request) {
	ticker := time.NewTicker(gcpPoll)
	defer ticker.Stop()
	for s.current() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}
