//! Rules of the repository that a compiler does not know; they are applied in `tests/`.

pub mod purity;
mod source;
