"""Games: who plays, what they see, what each minimises. One game per file."""
