//! Our nftables table: what it decides, how that is written, and whether it is still there.

mod apply;
mod decide;
mod ranges;
mod render;

pub(crate) use apply::Nftables;
pub(crate) use render::TABLE;
pub use render::script;
