"""What a training will need, worked out on paper before it runs: memory, tokens, hours."""
