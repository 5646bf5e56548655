package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// requestTimeout is more than a drain within a Pod's usual grace period takes.
const requestTimeout = 2 * time.Minute

// client calls the control API of a running cluster.
type client struct {
	http *http.Client
}

func newClient(socket string) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &client{http: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{DialContext: dial}}}
}

// call sends a request and decodes the answer into result.
func (c *client) call(method, path string, query url.Values, result any) error {
	target := url.URL{Scheme: "http", Host: "localcluster", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequest(method, target.String(), nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("calling the cluster (is it up?): %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("reading the cluster's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var f failure
		if json.Unmarshal(body, &f) == nil && f.Error != "" {
			return errors.New(f.Error)
		}
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return json.Unmarshal(body, result)
}
