"""Studies outside the pipeline: other worlds, other methods, repeated cells."""
