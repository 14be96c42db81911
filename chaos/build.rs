//! Compiles the part of etcd's API that the load generator speaks, without needing `protoc` on the machine; and, for the simulation, the
//! clock that stands still.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

/// The clock of `chaos-sim`.
const STILL: &str = "src/bin/chaos_sim/still.c";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["etcd.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".etcdserverpb")
        .compile_fds(descriptors)?;
    println!("cargo::rerun-if-changed={STILL}");
    if env::var_os("CARGO_FEATURE_SIMULATION").is_some() {
        still_clock()?;
    }
    Ok(())
}

/// By the C compiler that Rust links with.
fn still_clock() -> Result<(), Box<dyn Error>> {
    let object = PathBuf::from(env::var("OUT_DIR")?).join("still.o");
    let made = Command::new("cc")
        .args(["-c", "-O1", STILL, "-o"])
        .arg(&object)
        .status()?;
    if !made.success() {
        return Err(format!("cc cannot compile {STILL}").into());
    }
    println!("cargo::rustc-link-arg-bin=chaos-sim={}", object.display());
    Ok(())
}
