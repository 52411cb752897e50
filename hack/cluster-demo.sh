#!/usr/bin/env bash
# The quickstart on a real Kubernetes: `make cluster-demo`. In order of preference: the cluster of $KUBECONFIG, kind where
# Docker is, and otherwise one that hack/cluster starts on this machine (Linux, root).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
helm=$("$bin/python" -c 'import sys; sys.path.insert(0, "tests"); from support import go_tool; print(go_tool("helm"))')

say() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }

store=hack/cluster/claim.yaml
values=(--values hack/cluster/values.yaml)
if [ -n "${KUBECONFIG:-}" ]; then
  say "Using the cluster of $KUBECONFIG"
elif docker info >/dev/null 2>&1 && command -v kind >/dev/null; then
  say "Starting kind and building the images"
  kind get clusters | grep -qx raysmith || kind create cluster --name raysmith --config kind-config.yaml
  for target in operator workloads; do
    tag=raysmith-$target:0.1.0$([ "$target" = workloads ] && echo -cpu || true)
    docker build --target "$target" --tag "$tag" .
    kind load docker-image --name raysmith "$tag"
  done
  KUBECONFIG=$(mktemp) && kind get kubeconfig --name raysmith >"$KUBECONFIG"
else
  say "Starting a real Kubernetes on this machine and building the images (the first time takes half an hour)"
  hack/cluster/cluster up
  hack/cluster/cluster images
  KUBECONFIG=$(hack/cluster/cluster status | sed -n 's/^export KUBECONFIG=//p')
  store=hack/cluster/volume.yaml
  values+=(--values hack/cluster/names.yaml)
  mkdir -p /var/tmp/raysmith-store && chown 1000:1000 /var/tmp/raysmith-store
fi
export KUBECONFIG

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

say "Asking both the same question"
question="Write 2026-03-14 in words."
for model in base tuned; do
  kubectl port-forward "service/$model" 18000:8000 >/dev/null &
  until curl -fs http://127.0.0.1:18000/v1/models >/dev/null; do sleep 0.5; done
  printf '%s: ' "$model"
  "$bin/raysmith" chat "$question" --url http://127.0.0.1:18000/v1 --model "$model"
  kill %1 && wait 2>/dev/null || true
done
say "Done. kubectl describe llmfinetune dates tells the story; make cluster-down ends a cluster that hack/cluster started"
