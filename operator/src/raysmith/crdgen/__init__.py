"""From the API models to `crds/*.yaml`: `python -m raysmith.crdgen` writes them, `--check` compares."""
