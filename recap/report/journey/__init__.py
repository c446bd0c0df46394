"""Three real rows at every step of the pipeline, as a Markdown page."""
