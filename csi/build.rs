//! Compiles the files in `proto/` without a system protoc, and writes the `Debug` of messages that hold secrets.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use protox::prost_reflect::{Kind, MessageDescriptor};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    compile_modify()?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_file("csi.proto")?;
    let pool = compiler.descriptor_pool();
    let secret = pool
        .get_extension_by_name("csi.v1.csi_secret")
        .ok_or("no csi_secret")?;
    let messages: Vec<MessageDescriptor> = pool
        .all_messages()
        .filter(|message| message.package_name() == "csi.v1" && !message.is_map_entry())
        .collect();
    let is_secret = |message: &MessageDescriptor, name: &str| {
        let field = message.get_field_by_name(name);
        field.is_some_and(|field| field.options().get_extension(&secret).as_bool() == Some(true))
    };

    let mut hidden = Vec::new();
    let mut debug = String::new();
    for message in &messages {
        if message.fields().any(|field| is_secret(message, field.name())) {
            hidden.push(format!(".{}", message.full_name()));
            write_debug(&mut debug, message, &is_secret)?;
        }
    }
    std::fs::write(out.join("secrets.rs"), debug)?;
    std::fs::write(out.join("samples.rs"), samples(&messages))?;
    std::fs::write(out.join("csi.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .btree_map(".")
        .skip_debug(hidden)
        // An RPC that a driver does not have answers Unimplemented, those of a newer CSI too.
        .generate_default_stubs(true)
        .codec_path("crate::codec::Codec")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// The package `modify.v1`, whose `Debug` of the message with secrets is written by hand.
fn compile_modify() -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).open_file("modify.proto")?;
    tonic_prost_build::configure()
        .btree_map(".")
        .skip_debug([".modify.v1.ModifyVolumePropertiesRequest"])
        .codec_path("crate::codec::Codec")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// A `Debug` that shows every field but the secret ones.
fn write_debug(
    out: &mut String,
    message: &MessageDescriptor,
    is_secret: &dyn Fn(&MessageDescriptor, &str) -> bool,
) -> Result<(), Box<dyn Error>> {
    let name = message.name();
    if message.parent_message().is_some() || message.oneofs().len() > 0 {
        return Err(format!("{name}: secrets in nested messages and beside oneofs are not handled").into());
    }
    writeln!(out, "impl ::core::fmt::Debug for {name} {{")?;
    writeln!(
        out,
        "fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{"
    )?;
    writeln!(out, "f.debug_struct({name:?})")?;
    for field in message.fields() {
        let field_name = field.name();
        if is_secret(message, field_name) {
            let empty =
                if field.is_list() || field.is_map() || matches!(field.kind(), Kind::String | Kind::Bytes) {
                    "is_empty"
                } else {
                    return Err(format!("{name}.{field_name}: this kind of secret is not handled").into());
                };
            writeln!(
                out,
                ".field({field_name:?}, &crate::secret::Stripped {{ empty: self.{field_name}.{empty}() }})"
            )?;
        } else {
            writeln!(out, ".field({field_name:?}, &self.{field_name})")?;
        }
    }
    writeln!(out, ".finish()\n}}\n}}")?;
    Ok(())
}

/// For tests: decodes bytes as the message of that name and prints it.
fn samples(messages: &[MessageDescriptor]) -> String {
    let mut out =
        String::from("pub(crate) fn print(name: &str, bytes: &[u8]) -> Option<String> {\n match name {\n");
    for message in messages
        .iter()
        .filter(|message| message.parent_message().is_none())
    {
        let name = message.name();
        out += &format!(
            "{name:?} => crate::v1::{name}::decode(bytes).ok().map(|message| format!(\"{{message:?}}\")),\n"
        );
    }
    out + "_ => None,\n}\n}\n"
}
