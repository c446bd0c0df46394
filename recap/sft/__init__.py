"""Supervised fine-tuning in place of RL: the baselines that train on traces (docs/sft.md)."""
