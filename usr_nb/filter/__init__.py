"""Which records: a typed filter, its forms as text, its engine; motifs, order and picks."""
