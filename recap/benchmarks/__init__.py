"""The benchmarks: what each is, and how it is written for readers. Light: no attack is imported."""
