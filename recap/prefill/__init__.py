"""Prefills: whole thoughts sampled from a source, verified, cut and given to prompts."""
