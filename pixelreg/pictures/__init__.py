"""Pictures: reading, writing, moving and laying them out."""
