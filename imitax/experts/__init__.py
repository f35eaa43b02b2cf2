"""Who demonstrates: planners, controllers, and trained networks from files."""
