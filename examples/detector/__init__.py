"""How the bundled face detector was trained."""
