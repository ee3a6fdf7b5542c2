"""Systems that people use today, each in an environment of its own."""
