"""Commands of ours as processes: started, watched, and never left behind."""
