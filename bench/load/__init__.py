"""Many sessions at once: blocks of one length, the router's choice, and the expert alone."""
