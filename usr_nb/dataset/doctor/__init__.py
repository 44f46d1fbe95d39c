"""What `usr doctor` looks at, one module per kind of trouble."""
