"""Models behind HTTP: one page, a small API, and what keeps strangers and floods out."""
