"""The pipeline as DVC tells it: its graph, its lock, its cache."""
