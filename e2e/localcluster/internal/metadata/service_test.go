package metadata

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

var (
	given    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	deadline = given.Add(2 * time.Minute)
)

// ask returns "status body" of a request, with headers in pairs.
func ask(t *testing.T, handler http.Handler, method, target string, headers ...string) string {
	t.Helper()
	req := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, req)
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusOK {
		return http.StatusText(w.Code)
	}
	return string(body)
}

func TestAWS(t *testing.T) {
	s := &Service{}
	h := s.handler(AWS, "m")
	token := ask(t, h, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	get := func(path string) string {
		return ask(t, h, http.MethodGet, "/latest/meta-data/"+path, "X-aws-ec2-metadata-token", token)
	}
	if got := ask(t, h, http.MethodPut, "/latest/api/token"); got != "Bad Request" {
		t.Errorf("token without a TTL: %s", got)
	}
	if got := ask(t, h, http.MethodGet, "/latest/meta-data/spot/instance-action"); got != "Unauthorized" {
		t.Errorf("without a token: %s", got)
	}
	check := func(when, action, rebalance, lifecycle string) {
		t.Helper()
		for path, want := range map[string]string{
			"spot/instance-action": action, "events/recommendations/rebalance": rebalance, "autoscaling/target-lifecycle-state": lifecycle,
		} {
			if got := get(path); got != want {
				t.Errorf("%s: %s: got %s, want %s", when, path, got, want)
			}
		}
	}
	check("before", "Not Found", "Not Found", "InService")
	s.Notify(given, deadline)
	check("after", `{"action":"terminate","time":"2026-03-01T12:02:00Z"}`, `{"noticeTime":"2026-03-01T12:00:00Z"}`, "Terminated")
}

func TestGCP(t *testing.T) {
	s := &Service{}
	h := s.handler(GCP, "m")
	const path = "/computeMetadata/v1/instance/preempted"
	if got := ask(t, h, http.MethodGet, path); got != "Forbidden" {
		t.Errorf("without the header: %s", got)
	}
	if got := ask(t, h, http.MethodGet, path, "Metadata-Flavor", "Google"); got != "FALSE" {
		t.Errorf("before: %s", got)
	}
	s.Notify(given, deadline)
	if got := ask(t, h, http.MethodGet, path+"?wait_for_change=true", "Metadata-Flavor", "Google"); got != "TRUE" {
		t.Errorf("after: %s", got)
	}
	if got := ask(t, h, http.MethodGet, "/computeMetadata/v1/instance/maintenance-event", "Metadata-Flavor", "Google"); got != "TERMINATE_ON_HOST_MAINTENANCE" {
		t.Errorf("maintenance: %s", got)
	}
}

func TestAzure(t *testing.T) {
	s := &Service{}
	h := s.handler(Azure, "m")
	const path = "/metadata/scheduledevents?api-version=2020-07-01"
	const name = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
	if got := ask(t, h, http.MethodGet, name, "Metadata", "true"); got != "m" {
		t.Errorf("name: %s", got)
	}
	if got := ask(t, h, http.MethodGet, path); got != "Bad Request" {
		t.Errorf("without the header: %s", got)
	}
	if got := ask(t, h, http.MethodGet, path, "Metadata", "true"); got != `{"DocumentIncarnation":1,"Events":[]}` {
		t.Errorf("before: %s", got)
	}
	s.Notify(given, deadline)
	want := `{"DocumentIncarnation":2,"Events":[{"EventId":"preempt-m","EventType":"Preempt","ResourceType":"VirtualMachine","Resources":["m"],"EventStatus":"Scheduled","NotBefore":"Sun, 01 Mar 2026 12:02:00 GMT","EventSource":"Platform"}]}`
	if got := ask(t, h, http.MethodGet, path, "Metadata", "true"); got != want {
		t.Errorf("after: %s", got)
	}
}
