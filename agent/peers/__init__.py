"""The channel between nodes: who is trusted, the listener, the client."""
