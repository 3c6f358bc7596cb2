//! Turns the proto files into Rust, without `protoc`: the compiler for them is a crate as well.

use std::error::Error;

use tonic_prost_build::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let rocketmq = protox::compile(
        [
            "apache/rocketmq/v2/definition.proto",
            "apache/rocketmq/v2/service.proto",
            "apache/rocketmq/v2/admin.proto",
        ],
        ["proto"],
    )?;
    // The serving side of these services frames its messages by hand, see `stored` and `frame`.
    builder().build_server(false).compile_fds(rocketmq)?;
    let millpond = protox::compile(["millpond/admin/v1/admin.proto"], ["proto"])?;
    builder().compile_fds(millpond)?;
    Ok(())
}

fn builder() -> Builder {
    tonic_prost_build::configure().bytes(".")
}
