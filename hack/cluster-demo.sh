#!/usr/bin/env bash
# The quickstart on a real Kubernetes: `make cluster-demo`. In order of preference: the cluster of $KUBECONFIG, kind where
# Docker is, and otherwise one that hack/cluster starts on this machine (Linux, root).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin

say() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }

fail() {
  printf '%s\n' "$1" >&2
  exit 1
}

# need PROGRAM PACKAGE ...: said at the start, because what uses them may come half an hour later.
need() {
  local programs=() packages=()
  while [ $# -gt 0 ]; do
    command -v "$1" >/dev/null || { programs+=("$1") packages+=("$2"); }
    shift 2
  done
  [ ${#programs[@]} -eq 0 ] ||
    fail "The demo needs ${programs[*]}, which this machine lacks. On Debian: apt-get install ${packages[*]}"
}

need go golang-go # builds Helm, and what the last kind of cluster is made of
(cd tests/tools/helm && go list -m >/dev/null) || # what Go says to it stands above
  fail "This Go cannot build the demo's programs: install Go 1.26 or newer from https://go.dev/dl."

store=hack/cluster/claim.yaml
values=(--values hack/cluster/values.yaml)
if [ -n "${KUBECONFIG:-}" ]; then
  need kubectl kubernetes-client git git # kubectl fetches KubeRay with git
  say "Using the cluster of $KUBECONFIG"
elif docker info >/dev/null 2>&1 && command -v kind >/dev/null; then
  need kubectl kubernetes-client git git
  say "Starting kind and building the images"
  kind get clusters | grep -qx raysmith || kind create cluster --name raysmith --config kind-config.yaml
  for target in operator workloads; do
    tag=raysmith-$target:0.1.0$([ "$target" = workloads ] && echo -cpu || true)
    docker build --target "$target" --tag "$tag" .
    kind load docker-image --name raysmith "$tag"
  done
  KUBECONFIG=$(mktemp) && kind get kubeconfig --name raysmith >"$KUBECONFIG"
else
  [ "$(uname)" = Linux ] && [ "$(id -u)" -eq 0 ] ||
    fail "There is no cluster in KUBECONFIG and no Docker with kind, and starting one without them needs Linux and root."
  "$bin/python" -c 'from hack.cluster import main, programs
programs.require("etcd", "openssl", "mmdebstrap", *main.NODE_PROGRAMS)'
  say "Starting a real Kubernetes on this machine and building the images (the first time takes half an hour)"
  hack/cluster/cluster up
  hack/cluster/cluster images
  KUBECONFIG=$(hack/cluster/cluster status | sed -n 's/^export KUBECONFIG=//p')
  # Its own kubectl comes last in the path: for machines that have none.
  PATH=$PATH:$("$bin/python" -c 'from hack.cluster.programs import built; print(built("kubernetes"))')
  store=hack/cluster/volume.yaml
  values+=(--values hack/cluster/names.yaml)
  mkdir -p /var/tmp/raysmith-store && chown 1000:1000 /var/tmp/raysmith-store
fi
export KUBECONFIG
helm=$("$bin/python" -c 'import sys; sys.path.insert(0, "tests"); from support import go_tool; print(go_tool("helm"))')

if ! kubectl get customresourcedefinition rayjobs.ray.io >/dev/null 2>&1; then
  say "Installing KubeRay"
  kubectl apply --server-side -k "github.com/ray-project/kuberay/ray-operator/config/default?ref=v1.6.2"
fi

say "Installing the chart"
"$helm" upgrade --install raysmith charts/raysmith --namespace raysmith-system --create-namespace \
  "${values[@]}" --wait

say "Applying examples/quickstart/"
kubectl get persistentvolumeclaim raysmith-store >/dev/null 2>&1 || kubectl apply -f "$store"
kubectl apply -f examples/quickstart/
for run in python-docs dates; do
  until kubectl wait --for=condition=Finished "llmfinetune/$run" --timeout=20s 2>/dev/null; do kubectl get llmfinetunes; done
done
kubectl get llmfinetunes
kubectl wait --for=condition=Succeeded llmfinetune/python-docs llmfinetune/dates --timeout=1s

say "Waiting for both services"
kubectl wait --for=condition=Ready llmservice/base llmservice/tuned --timeout=600s
kubectl get llmservices

say "Asking both the same questions, from a pod of the tuned model"
url() { kubectl get llmservice "$1" --output 'jsonpath={.status.url}'; }
pod=$(kubectl get pods --selector raysmith.io/service=tuned,ray.io/serve=true --output 'jsonpath={.items[0].metadata.name}')
kubectl exec --stdin "$pod" --container ray -- \
  python - /etc/raysmith/object.json "$(url base)" "$(url tuned)" <hack/ask_both.py
say "Done. kubectl describe llmfinetune dates tells the story; make cluster-down ends a cluster that hack/cluster started"
