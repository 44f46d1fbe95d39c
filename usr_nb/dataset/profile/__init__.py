"""What is in a dataset: every column, and the sequences, exactly and in one pass."""
