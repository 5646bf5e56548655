package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const readyzTimeout = 2 * time.Second

// readyClient returns a function that asks the API server whether it is ready.
func (cp *ControlPlane) readyClient() (func(context.Context) error, error) {
	config, err := clientcmd.BuildConfigFromFlags("", cp.layout.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig just written: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("building a client: %w", err)
	}
	client.Timeout = readyzTimeout
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, cp.Server+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %s", resp.Status)
		}
		return nil
	}, nil
}
