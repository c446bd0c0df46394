"""One thin file per DVC stage: read, call, write."""
