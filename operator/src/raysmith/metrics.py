"""What the operator tells Prometheus about itself."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("raysmith_reconcile", "How often an object was reconciled.", ["kind", "outcome"])
SECONDS = Histogram("raysmith_reconcile_seconds", "How long one reconciling took.", ["kind"])
QUEUE = Gauge("raysmith_queue_length", "Objects that wait to be reconciled.")
OBJECTS = Gauge("raysmith_objects", "Objects by kind and phase.", ["kind", "phase"])
API_REQUESTS = Counter("raysmith_api_requests", "Requests to the API server, without the watches.", ["verb", "kind", "code"])
