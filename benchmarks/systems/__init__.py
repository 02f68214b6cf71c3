"""Every system on ring, grid, MNIST or its own data, and the pages that show it."""
