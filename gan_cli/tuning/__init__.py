"""Search for settings: a study of many trials, each an ordinary run."""
