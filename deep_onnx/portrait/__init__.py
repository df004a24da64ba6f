"""Label masks of portraits: what they are, where they come from, the windows of their parts."""
