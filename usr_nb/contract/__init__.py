"""The rules of the contract as pure functions: no input, no output."""
