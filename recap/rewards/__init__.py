"""Rewards of rollouts, from the prompt and the response only, never from the thought."""
