"""The benchmarks: their declarations and their labels for readers. Imports no attack."""
