"""What a page says, described once for every way of drawing it."""
