"""Raysmith: fine-tune and serve LLMs on Kubernetes from two objects."""
