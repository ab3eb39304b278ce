//! Generates the API's messages and service traits from the .proto files of the package `temporalio-protos`.
//!
//! The package is found through `cargo metadata`, so no .proto file of the API is copied into this tree, and
//! compiled by protox, so no `protoc` is needed. The descriptor set keeps `google.api.http` for reflection
//! and the HTTP gateway. The words between nodes are our own and stand in `node`.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

const ROOTS: &[&str] = &[
    "temporal/api/workflowservice/v1/service.proto",
    "temporal/api/operatorservice/v1/service.proto",
    "temporal/api/errordetails/v1/message.proto",
    "temporal/api/sdk/v1/workflow_metadata.proto",
    "google/rpc/status.proto",
];

/// What nodes say to each other: not of the API, so reflection does not show it.
const NODE: &str = "perdure/node/v1/node.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    println!("cargo::rerun-if-changed=node");
    let protos = protos_folder()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new([protos.join("api_upstream"), protos, PathBuf::from("node")])?;
    compiler.include_imports(true);
    for root in ROOTS {
        compiler.open_file(root)?;
    }
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    compiler.open_file(NODE)?;
    generate(compiler.file_descriptor_set(), &out)
}

fn generate(descriptors: tonic_prost_build::FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut config = tonic_prost_build::Config::new();
    config
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com");
    tonic_prost_build::configure()
        .out_dir(out)
        .include_file("api.rs")
        .build_server(true)
        .build_client(true)
        .server_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .client_mod_attribute(".", "#[cfg(feature = \"grpc-client\")]")
        .disable_comments(["."])
        // A payload is a slice of the request's buffer, never copied on decode.
        .bytes(".temporal.api.common.v1.Payload.data")
        .bytes(".temporal.api.common.v1.DataBlob.data")
        .bytes(".perdure.node.v1.Frame.body")
        // Without these an event takes 2 KiB whatever it holds.
        .boxed(".temporal.api.history.v1.HistoryEvent.attributes")
        .boxed(".temporal.api.command.v1.Command.attributes")
        // State holds these maps; a stable order keeps encoded bytes the same for the same state.
        .btree_map(".temporal.api.common.v1")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

/// Finds the `protos` folder of the package `temporalio-protos` that Cargo.lock pins.
fn protos_folder() -> Result<PathBuf, Box<dyn Error>> {
    let manifest = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(manifest)
        .exec()?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == "temporalio-protos")
        .ok_or("package temporalio-protos is not in Cargo.lock")?;
    let folder = package
        .manifest_path
        .parent()
        .ok_or("manifest path has no parent")?;
    Ok(folder.join("protos").into_std_path_buf())
}
