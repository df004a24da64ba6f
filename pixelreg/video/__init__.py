"""Faces in videos: followed from frame to frame, changed, and written with the sound as it was."""
