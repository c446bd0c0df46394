"""Studies beside the pipeline: other worlds, other methods, the same cell computed twice."""
