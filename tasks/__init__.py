"""What is trained for and how it is scored: tasks, their data, and the sandbox for model-written code."""
