package control

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"text/tabwriter"
	"time"

	"imagejob.dev/localcluster/internal/controlplane"
)

const nodeUsage = `usage: localcluster node VERB --state DIR
  list [--output json]             show the machines
  add --group GROUP                start a machine of a group, and print its name
  kill NAME                        the machine vanishes
  silence NAME, resume NAME        its kubelet is cut off, its processes go on
  interrupt NAME [--notice 120s]   spot interruption: notice, eviction, end
  drain NAME                       cordon it and evict its Pods
  kill-zone ZONE                   every machine of a zone vanishes`

const componentsUsage = `usage: localcluster components VERB --state DIR
  list                             show the components
  stop|kill|start|restart kube-apiserver`

const tracesUsage = `usage: localcluster traces restart --state DIR
  restart                          every group's trace begins now`

// errUsage asks for the usage text.
var errUsage = errors.New("wrong usage")

// command is a parsed command line: words, and flags anywhere between them.
type command struct {
	words  []string
	state  string
	group  string
	notice time.Duration
	output string
}

// Node runs "localcluster node".
func Node(argv []string) int { return execute("node", nodeUsage, argv, (*command).node) }

// Components runs "localcluster components".
func Components(argv []string) int {
	return execute("components", componentsUsage, argv, (*command).components)
}

// Traces runs "localcluster traces".
func Traces(argv []string) int { return execute("traces", tracesUsage, argv, (*command).traces) }

func execute(name, usage string, argv []string, run func(*command, *client) error) int {
	cmd, err := parse(name, argv[1:])
	if err == nil {
		var layout controlplane.Layout
		if layout, err = controlplane.NewLayout(cmd.state); err == nil {
			err = run(cmd, newClient(layout.Control()))
		}
	}
	if errors.Is(err, errUsage) || errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "localcluster %s: %v\n", name, err)
		return 1
	}
	return 0
}

func parse(name string, args []string) (*command, error) {
	cmd := &command{}
	flags := flag.NewFlagSet("localcluster "+name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cmd.state, "state", "", "state folder of the cluster")
	flags.StringVar(&cmd.group, "group", "", "node group")
	flags.DurationVar(&cmd.notice, "notice", defaultNotice, "time until the machine is taken away")
	flags.StringVar(&cmd.output, "output", "", "json for the API's own answer")
	for {
		if err := flags.Parse(args); err != nil {
			return nil, errors.Join(errUsage, err)
		}
		if flags.NArg() == 0 {
			break
		}
		cmd.words = append(cmd.words, flags.Arg(0))
		args = flags.Args()[1:]
	}
	if cmd.state == "" || len(cmd.words) == 0 || len(cmd.words) > 2 {
		return nil, errUsage
	}
	return cmd, nil
}

// word is the n-th word, empty when absent.
func (cmd *command) word(n int) string {
	if n >= len(cmd.words) {
		return ""
	}
	return cmd.words[n]
}

func (cmd *command) node(c *client) error {
	verb, name := cmd.word(0), cmd.word(1)
	switch {
	case verb == "list" && name == "":
		return cmd.list(c)
	case verb == "add" && name == "" && cmd.group != "":
		var a added
		if err := c.call(http.MethodPost, "/nodes", url.Values{"group": {cmd.group}}, &a); err != nil {
			return err
		}
		fmt.Println(a.Name)
		return nil
	case verb == "kill-zone" && name != "":
		var k killed
		if err := c.call(http.MethodPost, path.Join("/zones", name, "kill"), nil, &k); err != nil {
			return err
		}
		for _, name := range k.Names {
			fmt.Println(name)
		}
		return nil
	case name != "":
		query := url.Values{"notice": {cmd.notice.String()}}
		return c.call(http.MethodPost, path.Join("/nodes", name, verb), query, &struct{}{})
	}
	return errUsage
}

func (cmd *command) list(c *client) error {
	var machines []machine
	if err := c.call(http.MethodGet, "/nodes", nil, &machines); err != nil {
		return err
	}
	if cmd.output == "json" {
		return json.NewEncoder(os.Stdout).Encode(machines)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tGROUP\tSTATE\tTYPE\tZONE\tGPUS\tADDRESS")
	for _, m := range machines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", m.Name, m.Group, m.State, m.CapacityType, m.Zone, m.GPUs, m.Address)
	}
	return w.Flush()
}

func (cmd *command) traces(c *client) error {
	if len(cmd.words) != 1 || cmd.word(0) != "restart" {
		return errUsage
	}
	return c.call(http.MethodPost, "/traces/restart", nil, &struct{}{})
}

func (cmd *command) components(c *client) error {
	verb, name := cmd.word(0), cmd.word(1)
	if verb == "list" && name == "" {
		var running map[string]bool
		if err := c.call(http.MethodGet, "/components", nil, &running); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(running)) {
			fmt.Printf("%s\trunning=%v\n", name, running[name])
		}
		return nil
	}
	if name == "" {
		return errUsage
	}
	return c.call(http.MethodPost, path.Join("/components", name, verb), nil, &struct{}{})
}
