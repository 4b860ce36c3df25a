//! Makes Rust of the protocol. No `protoc` is needed for that.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["proto/control.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        // What holds the secret of a token is printed by hand.
        .skip_debug(["patronus.control.v1.EnrolRequest"])
        .compile_fds(files)?;
    Ok(())
}
