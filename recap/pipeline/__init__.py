"""The pipeline according to DVC: its graph, its lock, its cache."""
