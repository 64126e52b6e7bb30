"""The pocket world: text for a base, three general skills, three tasks to fine-tune on, all from a seed."""
