"""The disk: one door, Parquet, slots and recovery, what a reader sees."""
