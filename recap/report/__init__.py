"""Results for readers: the page, its tables, and the journey of a row."""
