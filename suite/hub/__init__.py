"""From the Hugging Face hub into a folder that needs no network, with a manifest of what it is."""
