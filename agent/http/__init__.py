"""The server: route table, decoding, dialects, limits, OpenAPI, pages."""
