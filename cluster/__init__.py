"""The cluster agrees: the store's backends and the replica. It knows nodes and opaque documents, never VMs."""
