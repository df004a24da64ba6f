"""Sparse components of expressions: of meshes, landmarks, or the flow between photographs."""
