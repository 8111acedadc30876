"""What serving costs and promises, measured on a server in a process of its own, by clients in this one."""
