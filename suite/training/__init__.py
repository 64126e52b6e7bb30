"""One pack of members over one frozen base: rows, steps, losses, and the memory that they take."""
