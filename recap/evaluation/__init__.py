"""From verdicts to rates with intervals, and paired comparisons of two policies."""
