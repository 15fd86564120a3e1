"""The choice of the template: candidates, how they compare, and whether the pinned one has aged."""
