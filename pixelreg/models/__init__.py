"""Models: frozen plans, their provenance, and their files."""
