package node

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
)

func parseLabels(list string) (map[string]string, error) {
	labels := map[string]string{}
	for _, item := range splitList(list) {
		key, value, ok := strings.Cut(item, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("label %q: want KEY=VALUE", item)
		}
		labels[key] = value
	}
	return labels, nil
}

// parseTaints reads what FormatTaints writes.
func parseTaints(list string) ([]v1.Taint, error) {
	var taints []v1.Taint
	for _, item := range splitList(list) {
		pair, effect, ok := strings.Cut(item, ":")
		key, value, _ := strings.Cut(pair, "=")
		if !ok || key == "" || effect == "" {
			return nil, fmt.Errorf("taint %q: want KEY=VALUE:EFFECT or KEY:EFFECT", item)
		}
		taints = append(taints, v1.Taint{Key: key, Value: value, Effect: v1.TaintEffect(effect)})
	}
	return taints, nil
}

// FormatTaints writes taints for --taints.
func FormatTaints(taints []v1.Taint) string {
	var items []string
	for _, taint := range taints {
		items = append(items, fmt.Sprintf("%s=%s:%s", taint.Key, taint.Value, taint.Effect))
	}
	return strings.Join(items, ",")
}
