"""What holds the house together: which room may import which, and that the documents name all there is."""
