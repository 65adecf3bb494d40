// A room may be headers only; a static library needs one object file.
