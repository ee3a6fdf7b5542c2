"""The drafter's and the expert's services, and what every server of the system shares."""
