"""A whole Kubernetes with KubeRay and our chart."""

from cluster_fixtures import cluster, kubeconfig, operator, quick_tenant, tenant

__all__ = ["cluster", "kubeconfig", "operator", "quick_tenant", "tenant"]
