"""Overlays: parts, the merged view, attach, compact, materialize."""
