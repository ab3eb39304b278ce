//! Jars: Cassandra and what it needs, copied once from Maven's registry.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::LaunchError;

const POM: &str = include_str!("../pom.xml");

/// Returns the folder with the jars, which is filled if this version of the list was never copied.
pub(crate) fn fetch(target: &Path) -> Result<PathBuf, LaunchError> {
    let folder = target.join("cassandra");
    let (pom, jars) = (folder.join("pom.xml"), folder.join("jars"));
    let done = folder.join("copied.xml");
    if fs::read_to_string(&done).is_ok_and(|copied| copied == POM) {
        return Ok(jars);
    }
    fs::create_dir_all(&folder).map_err(LaunchError::io("make the folder for jars"))?;
    fs::write(&pom, POM).map_err(LaunchError::io("write the list of jars"))?;
    let output = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "dependency:copy-dependencies"])
        .arg("-DoutputDirectory=jars")
        .current_dir(&folder)
        .output()
        .map_err(|_| LaunchError::Missing("maven"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        return Err(LaunchError::Maven(String::from_utf8_lossy(&said).into_owned()));
    }
    fs::write(&done, POM).map_err(LaunchError::io("note that the jars are there"))?;
    Ok(jars)
}

/// Returns the `java` to run: that of `JAVA_HOME`, or the one in the path; it must be JDK 17.
pub(crate) fn java() -> Result<PathBuf, LaunchError> {
    let java = env::var_os("JAVA_HOME").map_or_else(
        || PathBuf::from("java"),
        |home| PathBuf::from(home).join("bin/java"),
    );
    let output = Command::new(&java)
        .arg("-version")
        .output()
        .map_err(|_| LaunchError::Missing("JDK 17"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("\"17.") {
        Ok(java)
    } else {
        let found = said.lines().next().unwrap_or("another java").to_owned();
        Err(LaunchError::WrongJava { found })
    }
}
