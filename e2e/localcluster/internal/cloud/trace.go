package cloud

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Trace is a recorded spot capacity: how many machines were available at each
// tick.
type Trace struct {
	// gap is the real time between two ticks, the recorded one over the speed.
	gap   time.Duration
	nodes []int
}

// readTrace reads {"metadata":{"gap_seconds":300},"data":[16,15,...]}.
func readTrace(path string, speed float64) (*Trace, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the trace: %w", err)
	}
	trace, err := parseTrace(data, speed)
	if err != nil {
		return nil, fmt.Errorf("the trace %s: %w", path, err)
	}
	return trace, nil
}

func parseTrace(data []byte, speed float64) (*Trace, error) {
	var raw struct {
		Metadata struct {
			GapSeconds float64 `json:"gap_seconds"`
		} `json:"metadata"`
		Data []int `json:"data"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	if raw.Metadata.GapSeconds <= 0 || len(raw.Data) == 0 {
		return nil, fmt.Errorf("gap_seconds is %v and there are %d ticks: want more than 0 of both", raw.Metadata.GapSeconds, len(raw.Data))
	}
	gap := time.Duration(raw.Metadata.GapSeconds / speed * float64(time.Second))
	if gap <= 0 {
		return nil, fmt.Errorf("speed %v leaves no time between two ticks", speed)
	}
	return &Trace{gap: gap, nodes: raw.Data}, nil
}

// At is the capacity after the trace has run for elapsed. The trace starts
// again after its end.
func (t *Trace) At(elapsed time.Duration) int {
	return t.nodes[int(elapsed/t.gap)%len(t.nodes)]
}
