//! Where things are: this repository, and the programs that were compiled from it.

use std::path::PathBuf;

/// The root of the repository.
pub fn root() -> PathBuf {
    e2e("").parent().expect("e2e lies in the repository").to_owned()
}

/// A file below `e2e/`: where cargo runs this, not where it was compiled, because clones share a target folder.
pub fn e2e(path: &str) -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR");
    here.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from).join(path)
}

/// A release binary of this repository: in `$MILLPOND_BIN`, or in the target folder that this test lies in.
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("MILLPOND_BIN").map_or_else(release_folder, PathBuf::from);
    let program = folder.join(name);
    assert!(
        program.exists(),
        "{} is missing: run `make standalone` or `make test`, which build it",
        program.display()
    );
    program
}

/// `target/debug/deps/standalone-…` or `target/debug/sdk-matrix` → `target/release`.
fn release_folder() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let profile = own.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).expect("a target folder");
    profile.parent().expect("a target folder").join("release")
}
