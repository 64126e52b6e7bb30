"""Where jobs run: `local` is worker processes on this machine."""
