package node

import (
	"context"

	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	v1 "k8s.io/api/core/v1"
	v1core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/kubelet"
)

// recordEvents makes the kubelet record its events as a real one does, though
// it may not read /dev/kmsg. The kubelet opens that file, which needs root,
// unless its recorder is a FakeRecorder; so it gets one, and the real recorder
// takes its place right after. The first thing the kubelet asks of its
// dependencies after that check is a tracer, hence the place.
func recordEvents(ctx context.Context, deps *kubelet.Dependencies, events v1core.EventsGetter, name string) {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&v1core.EventSinkImpl{Interface: events.Events("")})
	recorder := broadcaster.NewRecorder(legacyscheme.Scheme, v1.EventSource{Component: "kubelet", Host: name})
	deps.Recorder = &record.FakeRecorder{}
	deps.TracerProvider = tracerHook{
		TracerProvider: noop.NewTracerProvider(),
		asked:          func() { deps.Recorder = recorder },
	}
}

type tracerHook struct {
	oteltrace.TracerProvider
	asked func()
}

func (t tracerHook) Tracer(name string, opts ...oteltrace.TracerOption) oteltrace.Tracer {
	t.asked()
	return t.TracerProvider.Tracer(name, opts...)
}
