"""A model under its adapters, scored by lm-eval: texts continued, endings compared."""
