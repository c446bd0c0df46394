"""The policy update: rollout groups, advantages, TRL's GRPO step, checkpoints."""
