"""World models: learned step functions over codes, frames, or the rows of a table."""
