"""What a drafter's pod and an expert's pod share around their engine."""
