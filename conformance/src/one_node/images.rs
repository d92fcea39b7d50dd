//! Images that are made of files of this machine, as archives in the form of `docker save`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{run, write};
use crate::{Error, Peers};

/// The archive of the image `localhost/busybox:1`, of which pods are made, the pause container among them.
pub(super) fn busybox() -> Result<PathBuf, Error> {
    let folder = folder("busybox", &["bin", "tmp"])?;
    let program = folder.join("root/bin/busybox");
    std::fs::copy("/bin/busybox", &program).map_err(|_| Error::Missing {
        name: "/bin/busybox".to_owned(),
        command: "apt-get install busybox-static".to_owned(),
    })?;
    run(Command::new(&program)
        .arg("--install")
        .arg(folder.join("root/bin")))?;
    archive(
        &folder,
        &[("localhost/busybox:1".to_owned(), json!(["/bin/sleep", "1000000"]))],
    )
}

/// The archive of an image for each of upstream's programs. They share one layer.
pub(super) fn upstream(peers: &Peers) -> Result<PathBuf, Error> {
    let folder = folder("upstream", &[])?;
    let images = Peers::NAMES.map(|name| {
        let program = folder.join("root").join(name);
        std::fs::copy(peers.path(name), &program)
            .map_err(Error::system(format!("copy {}", program.display())))?;
        Ok((format!("localhost/upstream:{name}"), json!([format!("/{name}")])))
    });
    let images = images.into_iter().collect::<Result<Vec<_>, Error>>()?;
    archive(&folder, &images)
}

/// A folder with these folders in its `root`.
fn folder(name: &str, below: &[&str]) -> Result<PathBuf, Error> {
    let folder = tempfile::env::temp_dir().join(format!("slackwater-{name}"));
    let root = folder.join("root");
    for path in below.iter().map(|name| root.join(name)).chain([root.clone()]) {
        std::fs::create_dir_all(&path).map_err(Error::system(format!("make {}", path.display())))?;
    }
    Ok(folder)
}

/// Packs `root` of the folder as the one layer of images, each with its name and its entry point.
fn archive(folder: &Path, images: &[(String, Value)]) -> Result<PathBuf, Error> {
    let tar = |from: &Path, to: &Path, what: &[&str]| {
        run(Command::new("tar")
            .arg("-C")
            .arg(from)
            .arg("-cf")
            .arg(to)
            .args(what))
    };
    let layer = folder.join("layer.tar");
    tar(&folder.join("root"), &layer, &["."])?;
    let digest = Command::new("sha256sum")
        .arg(&layer)
        .output()
        .map_err(Error::system("run sha256sum"))?;
    let digest: String = String::from_utf8_lossy(&digest.stdout).chars().take(64).collect();
    let (mut manifest, mut files) = (
        Vec::new(),
        vec!["manifest.json".to_owned(), "layer.tar".to_owned()],
    );
    for (number, (name, entry_point)) in images.iter().enumerate() {
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Env": ["PATH=/bin"], "Entrypoint": entry_point },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        });
        let file = format!("config-{number}.json");
        write(&folder.join(&file), &config.to_string())?;
        manifest.push(json!({ "Config": file, "RepoTags": [name], "Layers": ["layer.tar"] }));
        files.push(file);
    }
    write(&folder.join("manifest.json"), &json!(manifest).to_string())?;
    let archive = folder.join("images.tar");
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    tar(folder, &archive, &files)?;
    Ok(archive)
}
