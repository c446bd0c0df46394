"""``recap judge``: judges a file of prompts and completions, and compares with its labels."""
