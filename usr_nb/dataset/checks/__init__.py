"""The checks of validate, one module per kind of file."""
