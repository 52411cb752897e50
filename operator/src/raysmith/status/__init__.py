"""What was observed, told: conditions, verdicts, and why something does not go on. Pure: no client, no clock."""
