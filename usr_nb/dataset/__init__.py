"""Datasets: a thin face over the floors below."""
