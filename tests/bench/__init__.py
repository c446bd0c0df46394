"""Speed, measured where it is claimed; no test depends on the clock."""
