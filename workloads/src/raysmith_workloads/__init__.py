"""What runs inside the Ray pods, and on a laptop just the same: data preparation, fine-tuning, serving."""
