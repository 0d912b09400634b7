//! The developer's and CI's front door: `cargo xtask`.

mod arceos;
mod build;
mod cargo;
mod exchange;
mod fuzz;
mod load;
mod matrix;
mod mutants;
mod peer;
mod progress;
mod qemu;
mod server;
mod setup;
mod soak;
mod test;
mod tool;
mod vm;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser, Debug)]
#[command(bin_name = "cargo xtask", about = "Build, run and test ivshmem between a real-time image and a Linux VM")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Setup(setup::Setup),
    Build(build::Build),
    Qemu(qemu::Qemu),
    Test(test::Test),
    QemuMatrix(matrix::QemuMatrix),
    Soak(soak::Soak),
    Mutants(mutants::Mutants),
    Fuzz(fuzz::Fuzz),
    Server(server::Server),
    Peer(peer::Peer),
    #[command(hide = true)]
    Load(load::Load),
    #[command(hide = true)]
    Reap(vm::Reap),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup(setup) => setup.run(),
        Command::Build(build) => build.run(),
        Command::Qemu(qemu) => qemu.run(),
        Command::Test(test) => test.run(),
        Command::QemuMatrix(matrix) => matrix.run(),
        Command::Soak(soak) => soak.run(),
        Command::Mutants(mutants) => mutants.run(),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::Server(server) => server.run(),
        Command::Peer(peer) => peer.run(),
        Command::Load(load) => load.run(),
        Command::Reap(reap) => reap.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
