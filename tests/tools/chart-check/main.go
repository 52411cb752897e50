// chart-check says what a Kubernetes API server would say to the objects of a chart, with the API server's own code: to
// each of them when it is created, to pods under the "restricted" Pod Security Standard, and, by the chart's
// ValidatingAdmissionPolicies, to objects that users would apply.
//
//	chart-check < {"manifests": [...], "requests": [{"object": {...}, "old": {...}}, ...]}
//
// prints {"manifests": [[error]], "requests": [[message]], "fields": {type: [name]}}; the fields are those of the parts of a pod.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

type input struct {
	Manifests []json.RawMessage `json:"manifests"`
	Requests  []request         `json:"requests"`
}

type output struct {
	Manifests [][]string          `json:"manifests"`
	Requests  [][]string          `json:"requests"`
	Fields    map[string][]string `json:"fields"`
}

func main() {
	if err := check(); err != nil {
		fmt.Fprintln(os.Stderr, "chart-check:", err)
		os.Exit(1)
	}
}

func check() error {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	out := output{Manifests: [][]string{}, Requests: [][]string{}, Fields: podFields()}
	var policies []policy
	for _, text := range in.Manifests {
		object, errs := create(text)
		out.Manifests = append(out.Manifests, errs)
		policies = append(policies, compile(object)...)
	}
	for _, request := range in.Requests {
		messages, err := request.judge(policies)
		if err != nil {
			return err
		}
		out.Requests = append(out.Requests, messages)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}
