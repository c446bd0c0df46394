"""The microworld: a small language, its exact judge, and models trained on it from scratch."""
