package metadata

import "net/http"

// azureEvent is one of Azure's scheduled events.
type azureEvent struct {
	EventID      string `json:"EventId"`
	EventType    string
	ResourceType string
	Resources    []string
	EventStatus  string
	NotBefore    string
	EventSource  string
}

// addAzure serves the scheduled events, API version 2020-07-01, and the
// machine's name, by which a client finds its machine's events.
func (s *Service) addAzure(mux *http.ServeMux, machine string) {
	get := func(path string, answer http.HandlerFunc) {
		mux.HandleFunc("GET /metadata/"+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Metadata") != "true" || r.URL.Query().Get("api-version") == "" {
				http.Error(w, "missing header Metadata: true or parameter api-version", http.StatusBadRequest)
				return
			}
			answer(w, r)
		})
	}
	get("instance/compute/name", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(machine))
	})
	get("scheduledevents", func(w http.ResponseWriter, _ *http.Request) {
		document := struct {
			DocumentIncarnation int
			Events              []azureEvent
		}{DocumentIncarnation: 1, Events: []azureEvent{}}
		if n := s.current(); n != nil {
			document.DocumentIncarnation = 2
			document.Events = append(document.Events, azureEvent{
				EventID: "preempt-" + machine, EventType: "Preempt", ResourceType: "VirtualMachine",
				Resources: []string{machine}, EventStatus: "Scheduled", NotBefore: httpTime(n.deadline), EventSource: "Platform",
			})
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(encode(document)))
	})
}
