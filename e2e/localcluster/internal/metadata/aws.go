package metadata

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"time"
)

// awsTime is the form of the times in instance metadata.
const awsTime = "2006-01-02T15:04:05Z"

// addAWS serves IMDSv2: a token first, by PUT, then everything with that token.
func (s *Service) addAWS(mux *http.ServeMux, machine string) {
	token := rand.Text()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		ttl := r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds")
		if ttl == "" {
			http.Error(w, "missing token TTL", http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl)
		_, _ = w.Write([]byte(token))
	})
	get := func(path string, value func() (string, bool)) {
		mux.HandleFunc("GET /latest/meta-data/"+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Aws-Ec2-Metadata-Token") != token {
				http.Error(w, "unauthorized", http.StatusUnauthorized)
				return
			}
			text, ok := value()
			if !ok {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write([]byte(text))
		})
	}
	get("instance-id", func() (string, bool) { return "i-" + machine, true })
	get("spot/instance-action", s.awsAction)
	get("events/recommendations/rebalance", s.awsRebalance)
	get("autoscaling/target-lifecycle-state", s.awsLifecycle)
}

func (s *Service) awsAction() (string, bool) {
	n := s.current()
	if n == nil {
		return "", false
	}
	return encode(map[string]string{"action": "terminate", "time": n.deadline.UTC().Format(awsTime)}), true
}

func (s *Service) awsRebalance() (string, bool) {
	n := s.current()
	if n == nil {
		return "", false
	}
	return encode(map[string]string{"noticeTime": n.given.UTC().Format(awsTime)}), true
}

func (s *Service) awsLifecycle() (string, bool) {
	if s.current() == nil {
		return "InService", true
	}
	return "Terminated", true
}

// encode writes a value whose encoding can't fail.
func encode(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return "{}"
	}
	return string(data)
}

// httpTime is the form of the times in Azure's events.
func httpTime(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
