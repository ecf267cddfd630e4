"""Records of cells: what is in them, and the folder that holds them."""
