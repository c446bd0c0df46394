"""What rewards and judges both need: Yes/No log-probabilities, answers, refusals, reflection."""
