"""Results as people look at them: the page, its tables, and one row's journey."""
