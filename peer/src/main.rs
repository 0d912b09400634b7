//! `ivshmem-peer`: the command line over the library. One file per sub-command, each a struct with `run`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
