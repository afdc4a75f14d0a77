//! The subcommands of the `verigate` program.
