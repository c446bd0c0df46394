"""One small file per source of prompts: raw rows in the hub's schema -> prompt records."""
