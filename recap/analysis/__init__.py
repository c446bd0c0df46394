"""From rates and outcomes to decisions: comparison, claims, verdicts, gate, promotion."""
