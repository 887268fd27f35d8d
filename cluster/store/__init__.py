"""The Store in memory and on SQLite, and the replica of it in memory."""
