"""Search: pipelines from a repo of points to a score are a function, and the best point is looked for."""
