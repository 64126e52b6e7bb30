"""Plan -> cells -> packs -> train -> evaluate -> record -> store: one way, each arrow plain data."""
