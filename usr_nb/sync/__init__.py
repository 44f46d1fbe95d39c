"""Two copies of a dataset meet over ssh and rsync; each keeps its work (contract SYN)."""
