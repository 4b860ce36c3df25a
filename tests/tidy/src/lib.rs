//! Rules of the repository that a compiler does not know. Most are applied by the tests in
//! `tests/`; what tests of other crates need is here.

pub mod manual;
pub mod purity;
mod source;
