"""``recap judge``: any file of prompts and completions, judged, and compared with its labels."""
