"""The subcommands of `worldline`, a file each.

A command is a module with `add(commands, shared)`, which declares its arguments, and a function
`run(arguments)` that does the work and returns the exit code. JAX is imported in `run`, so that `--help`
answers at once.
"""
