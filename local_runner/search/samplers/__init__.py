"""Samplers: from what is known to the next point."""
