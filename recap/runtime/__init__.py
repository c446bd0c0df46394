"""Process management: children, locks, progress, scratch state. None of it changes an output."""
