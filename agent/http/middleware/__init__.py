"""One concern each, in the order in which a request meets them."""
