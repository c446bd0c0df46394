"""Three real rows at every step of the pipeline, told as a Markdown page."""
