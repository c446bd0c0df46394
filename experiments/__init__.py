"""Studies made of flows: other worlds, other methods, the same cell twice."""
