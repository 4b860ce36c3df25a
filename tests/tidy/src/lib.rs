//! Rules of the repository that a compiler does not know; they are in `tests/`.
