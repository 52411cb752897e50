// kuberay-check reads Kubernetes manifests (YAML streams in the files named on the command line) and prints, as JSON, what
// an API server with KubeRay's CRDs and KubeRay's own controllers would object to.
//
// Usage: kuberay-check CRD_FOLDER FILE...
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Finding is what one judge says of one manifest.
type Finding struct {
	File    string `json:"file"`
	Index   int    `json:"index"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Judge   string `json:"judge"` // schema, types or controller
	Message string `json:"message"`
}

// Report is everything that was read and everything that was found.
type Report struct {
	Manifests int       `json:"manifests"`
	Findings  []Finding `json:"findings"`
}

func main() {
	report, err := check(os.Args[1], os.Args[2:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kuberay-check:", err)
		os.Exit(1)
	}
}

func check(crdFolder string, files []string) (Report, error) {
	report := Report{Findings: []Finding{}}
	schemas, err := loadSchemas(crdFolder)
	if err != nil {
		return report, err
	}
	for _, file := range files {
		manifests, err := read(file)
		if err != nil {
			return report, fmt.Errorf("%s: %w", file, err)
		}
		report.Manifests += len(manifests)
		for i, manifest := range manifests {
			for _, judged := range judge(schemas, manifest) {
				report.Findings = append(report.Findings, Finding{
					file, i, manifest.GetKind(), manifest.GetName(), judged.judge, judged.message,
				})
			}
		}
	}
	return report, nil
}

func read(file string) ([]*unstructured.Unstructured, error) {
	stream, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	decoder := yaml.NewYAMLOrJSONDecoder(stream, 4096)
	var manifests []*unstructured.Unstructured
	for {
		manifest := &unstructured.Unstructured{}
		switch err := decoder.Decode(&manifest.Object); {
		case errors.Is(err, io.EOF):
			return manifests, nil
		case err != nil:
			return nil, err
		case manifest.Object != nil: // a part of the stream may hold comments only
			manifests = append(manifests, manifest)
		}
	}
}
