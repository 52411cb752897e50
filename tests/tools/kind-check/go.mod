// kind keeps its parser internal: only packages whose path begins with its own may use it. So this module's path does.
module sigs.k8s.io/kind/pkg/raysmith/kind-check

go 1.26.0

require sigs.k8s.io/kind v0.33.0

require (
	github.com/pkg/errors v0.9.1 // indirect
	go.yaml.in/yaml/v3 v3.0.4 // indirect
)
