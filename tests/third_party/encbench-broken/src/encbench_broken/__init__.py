"""Built against something that is not there."""

raise ImportError("libmissing.so.7: cannot open shared object file")
