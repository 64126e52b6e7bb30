"""The leaderboard: records in, static files out."""
