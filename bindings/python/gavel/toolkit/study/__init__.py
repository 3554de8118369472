"""The study: what judges and teams are worth on a test split, as figures and as a report."""
