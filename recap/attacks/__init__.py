"""Adaptive attacks on a policy's thought, and the benchmarks that use them (paper: Evaluation)."""
