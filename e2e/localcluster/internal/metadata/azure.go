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

// addAzure serves the scheduled events, API version 2020-07-01.
func (s *Service) addAzure(mux *http.ServeMux, machine string) {
	mux.HandleFunc("GET /metadata/scheduledevents", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata") != "true" || r.URL.Query().Get("api-version") == "" {
			http.Error(w, "missing header Metadata: true or parameter api-version", http.StatusBadRequest)
			return
		}
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
