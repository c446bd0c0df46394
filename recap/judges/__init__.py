"""Who labels completions: the microworld's exact oracle, or the guardian model."""
