"""Tools on top of the store: DenseGen, legacy files, mock data, the demo."""
