"""What the occupancy task is made of: solids, their ground truth, their surfaces and pictures."""
