"""Sign-in: users, sessions and API tokens, kept in the Store and in memory."""
