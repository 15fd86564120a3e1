"""The networks, the inspection graph, the recipe bundle, and the engines that run it."""
