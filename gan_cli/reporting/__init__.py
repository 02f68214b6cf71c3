"""From run folders to answers: which configuration is better, by how much, how surely."""
