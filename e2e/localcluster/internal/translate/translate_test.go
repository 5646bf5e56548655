package translate

import "testing"

func TestText(t *testing.T) {
	tr := New([]Mount{
		{Container: "/models", Host: "/host/models"},
		{Container: "/models/lora", Host: "/host/lora"},
		{Container: "/etc/app/config.yaml", Host: "/host/config/config.yaml"},
	}, "127.7.0.1", map[int]bool{8188: true, 9090: true})
	for _, tc := range []struct{ name, in, want string }{
		{"whole value", "/models", "/host/models"},
		{"below", "/models/sd/v1.ckpt", "/host/models/sd/v1.ckpt"},
		{"deepest wins", "/models/lora/x", "/host/lora/x"},
		{"flag", "--models=/models", "--models=/host/models"},
		{"list", "/models:/models/lora", "/host/models:/host/lora"},
		{"json", `{"dir":"/models"}`, `{"dir":"/host/models"}`},
		{"file URL", "file:///models/a", "file:///host/models/a"},
		{"file mount", "-c /etc/app/config.yaml", "-c /host/config/config.yaml"},
		{"longer name", "/models2/x", "/models2/x"},
		{"dashed name", "/models-old", "/models-old"},
		{"inside a path", "/data/models", "/data/models"},
		{"relative", "./models", "./models"},
		{"path of a URL", "http://127.0.0.1:9999/models", "http://127.0.0.1:9999/models"},
		{"bucket", "s3://models/x", "s3://models/x"},

		{"engine URL", "http://127.0.0.1:8188", "http://127.7.0.1:8188"},
		{"localhost", "ws://localhost:8188/ws", "ws://127.7.0.1:8188/ws"},
		{"listen", "0.0.0.0:9090", "127.7.0.1:9090"},
		{"listen v6", "--addr=[::]:9090", "--addr=127.7.0.1:9090"},
		{"undeclared port", "redis://127.0.0.1:6379", "redis://127.0.0.1:6379"},
		{"longer port", "127.0.0.1:81880", "127.0.0.1:81880"},
		{"other host", "notlocalhost:8188", "notlocalhost:8188"},
		{"longer address", "10.127.0.0.1:8188", "10.127.0.0.1:8188"},
		{"two", "127.0.0.1:8188,127.0.0.1:9090", "127.7.0.1:8188,127.7.0.1:9090"},
		{"any address", "0.0.0.0", "127.7.0.1"},
		{"any address flag", "--listen=::", "--listen=127.7.0.1"},
		{"any address in text", "bind 0.0.0.0 now", "bind 0.0.0.0 now"},
		{"loopback alone", "127.0.0.1", "127.0.0.1"},
	} {
		if got := tr.Text(tc.in); got != tc.want {
			t.Errorf("%s: Text(%q) = %q, want %q", tc.name, tc.in, got, tc.want)
		}
	}
}

func TestPath(t *testing.T) {
	tr := New([]Mount{{Container: "/tmp", Host: "/host/tmp"}}, "127.7.0.1", nil)
	for _, tc := range []struct {
		in, want string
		under    bool
	}{
		{"/tmp", "/host/tmp", true},
		{"/tmp/a", "/host/tmp/a", true},
		{"/tmpfile", "/tmpfile", false},
	} {
		if got, under := tr.Path(tc.in); got != tc.want || under != tc.under {
			t.Errorf("Path(%q) = %q, %v", tc.in, got, under)
		}
	}
}
