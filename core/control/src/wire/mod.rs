//! Messages as they travel, and as both ends understand them.
//!
//! What comes in is checked here, field by field; what goes on has only valid values.

mod controller;
mod enrol;
mod fields;
mod router;

pub use controller::{decode_controller, encode_controller};
pub use enrol::{EnrolAnswer, EnrolAsk};
pub use fields::InvalidMessage;
pub use router::{Opening, decode_router, encode_router};

/// The generated messages, clients and servers. What they mean stands in `proto/control.proto`.
pub mod v1 {
    tonic::include_proto!("patronus.control.v1");
}

/// A message has at most this many bytes. The largest ones have a few pieces, of which the last may
/// be of any size that a piece can have.
pub const MOST_MESSAGE_BYTES: usize = 256 * 1024;
