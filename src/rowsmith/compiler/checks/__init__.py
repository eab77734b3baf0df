"""What `rowsmith check` reports, and how a finding is printed."""
