"""From raw rows to validated prompt records: sources, mixture, decontamination, expectations."""
