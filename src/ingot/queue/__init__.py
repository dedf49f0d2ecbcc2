"""The build queue: which attempts exist, who may write them, and how they ended."""
