"""Rewards of rollouts: on the prompt and the response alone, never on the thought."""
