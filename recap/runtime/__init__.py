"""How processes live: parents, locks, progress, scratch. None of it changes an output."""
