"""What `variants.check` is made of: the checks themselves, and what they look with."""
