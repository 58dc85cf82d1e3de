"""What falcorest costs, beside programs written by hand."""
