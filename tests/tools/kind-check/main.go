// kind-check reads files as `kind create cluster --config FILE` does, with kind's own parser and rules, and prints as JSON
// what each of them asks for, or what kind would object to.
//
// Usage: kind-check FILE...
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"sigs.k8s.io/kind/pkg/internal/apis/config/encoding"
)

// Verdict is what kind says of one file.
type Verdict struct {
	Error string   `json:"error"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"` // of the nodes, in the order of the file
}

func main() {
	verdicts := []Verdict{}
	for _, file := range os.Args[1:] {
		verdicts = append(verdicts, judge(file))
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdicts); err != nil {
		fmt.Fprintln(os.Stderr, "kind-check:", err)
		os.Exit(1)
	}
}

func judge(file string) Verdict {
	cluster, err := encoding.Load(file)
	if err != nil {
		return Verdict{Error: err.Error()}
	}
	verdict := Verdict{Name: cluster.Name}
	for _, node := range cluster.Nodes {
		verdict.Roles = append(verdict.Roles, string(node.Role))
	}
	if err := cluster.Validate(); err != nil {
		verdict.Error = err.Error()
	}
	return verdict
}
