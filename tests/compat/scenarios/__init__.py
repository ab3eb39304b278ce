"""The scenarios, one file per area; every function decorated with @scenario is one."""
