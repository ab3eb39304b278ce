"""The compatibility harness: it runs one set of scenarios against any server that speaks the Temporal API."""
