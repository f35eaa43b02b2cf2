"""Environment families, each a gymnax environment that draws its own instances."""
