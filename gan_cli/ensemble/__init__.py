"""Several runs that differ in their seed alone, trained as one."""
