// Localcluster is a Kubernetes cluster of plain processes on one machine: a
// real control plane and real kubelets, without containers or root. The same
// binary runs as every program of it; the name under which it is called selects
// the program.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json of the components
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics of the components
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric of the components
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"imagejob.dev/localcluster/internal/control"
	"imagejob.dev/localcluster/internal/controllers"
	"imagejob.dev/localcluster/internal/node"
	"imagejob.dev/localcluster/internal/supervisor"
)

const usage = `localcluster runs a Kubernetes cluster of plain processes.

  localcluster up --state DIR [--images FILE] [--provisioner FILE] [--system-node=true]
  localcluster down --state DIR
  localcluster status --state DIR
  localcluster node VERB --state DIR ...
  localcluster components VERB NAME --state DIR
  localcluster traces restart --state DIR

Also, as the first argument or the name of the program: etcd, kube-apiserver,
kube-controllers, kube-scheduler, kubectl, localnode.
`

func main() { os.Exit(dispatch(os.Args)) }

// dispatch runs the program that argv names, by its first or second word.
func dispatch(argv []string) int {
	if run := programs[filepath.Base(argv[0])]; run != nil {
		return run(argv)
	}
	if len(argv) > 1 {
		if run := programs[argv[1]]; run != nil {
			return run(argv[1:])
		}
	}
	fmt.Fprint(os.Stderr, usage)
	return 2
}

// programs maps each name to its main function, which finds its own name in
// argv[0] and returns the exit status.
var programs = map[string]func(argv []string) int{
	"etcd": func(argv []string) int {
		etcdmain.Main(argv)
		return 0
	},
	"kube-apiserver": func(argv []string) int {
		os.Args = argv
		return cli.Run(apiserver.NewAPIServerCommand())
	},
	"kube-scheduler": func(argv []string) int {
		os.Args = argv
		return cli.Run(scheduler.NewSchedulerCommand())
	},
	"kubectl": func(argv []string) int {
		os.Args = argv
		return cli.Run(kubectl.NewDefaultKubectlCommand())
	},
	"kube-controllers": controllers.Main,
	"localnode":        node.Main,
	"up":               supervisor.Up,
	"down":             supervisor.Down,
	"status":           supervisor.Status,
	"node":             control.Node,
	"components":       control.Components,
	"traces":           control.Traces,
}
