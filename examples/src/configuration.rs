//! How configuration space is reached, and where BARs go that have no place: the options `config=`, `mem32=` and `mem64=`.
//!
//! Finding and using ECAM and placing BARs take a third of an image. Without the feature `any-machine` an image is for PCs
//! with firmware only: it takes the ports 0xCF8 and 0xCFC and what is assigned.

#[cfg(feature = "any-machine")]
mod anywhere;
#[cfg(not(feature = "any-machine"))]
mod ports;

#[cfg(feature = "any-machine")]
pub use anywhere::Configuration;
#[cfg(not(feature = "any-machine"))]
pub use ports::Configuration;
