"""The agent acts: drivers, services, tasks, the HTTP server and the command line."""
