"""Network families: generators and discriminators built from the data, one family per file."""
