"""What a router does when ten times of what it carries is asked of it."""
