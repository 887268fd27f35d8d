"""Users, passwords, tokens, scopes and roles."""
