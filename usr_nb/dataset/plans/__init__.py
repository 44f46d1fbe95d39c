"""Plans: what a change would do, looked at without writing, then applied once or refused."""
