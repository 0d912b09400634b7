//! The library and the command line against what a host can offer: files, a server in this process, and a sysfs
//! tree built from files.

mod call;
mod chaos;
mod cli;
mod dump;
mod exchange;
mod operator;
mod protected;
mod responder;
mod sample;
mod stream;
mod sysfs;
mod terminal;
mod tree;
mod window;
