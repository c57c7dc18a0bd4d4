//! A file that lists endpoints: YAML, each a URL or `{ url, weight, zone, version }`.
//!
//! It is followed by what it holds, wherever it lies and however it is replaced. A change counts once the file has read the same twice, so
//! that no half of it is taken for the whole.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{ENDPOINTS_MAX, Follower, Written};
use crate::backend::EndpointSpec;
use crate::files::reason;

/// How often it is looked at. A change is in force after the second look.
const LOOK: Duration = Duration::from_millis(250);

/// Ample for the most endpoints.
const BYTES_MAX: usize = 1 << 20;

/// What the file held, or why it cannot be read.
type Look = Result<Vec<u8>, String>;

/// A file that is followed.
pub(super) struct Followed {
    path: PathBuf,
    /// What was acted upon.
    judged: Look,
}

// === impl Followed ===

impl Followed {
    /// Reads the file for the first time.
    pub(super) fn begin(path: PathBuf, follower: &mut Follower) -> Followed {
        let followed = Followed { judged: look(&path), path };
        followed.judge(follower);
        followed
    }

    /// Never ends by itself.
    pub(super) async fn keep(mut self, mut follower: Follower) {
        let mut before = self.judged.clone();
        loop {
            sleep(LOOK).await;
            let path = self.path.clone();
            let now = spawn_blocking(move || look(&path)).await.expect("reading a file does not panic and is not aborted");
            if now == before && now != self.judged {
                self.judged.clone_from(&now);
                self.judge(&mut follower);
            }
            before = now;
        }
    }

    fn judge(&self, follower: &mut Follower) {
        let is_no_list = |problem| format!("`{}` is no list of endpoints: {problem}", self.path.display());
        match self.judged.as_ref().map_err(String::clone).and_then(|bytes| read(bytes).map_err(is_no_list)) {
            Ok(endpoints) => follower.found(endpoints),
            Err(why) => follower.failed(why),
        }
    }
}

fn look(path: &Path) -> Look {
    let cannot = |error: std::io::Error| format!("`{}` cannot be read: {}", path.display(), reason(&error));
    // Before it is opened as well: to open a pipe is to wait for who writes into it.
    let is_file = std::fs::metadata(path).map_err(cannot)?.is_file();
    let file = if is_file {
        std::fs::File::open(path).map_err(cannot)?
    } else {
        return Err(format!("`{}` is not a regular file", path.display()));
    };
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err(format!("`{}` is not a regular file", path.display()));
    }
    let mut bytes = Vec::new();
    // One more than it may have, by which one that is too long is known.
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}

/// The endpoints that such a file lists. An empty list is one; an empty file is not. The error says where it is wrong.
pub fn read(bytes: &[u8]) -> Result<Vec<EndpointSpec>, String> {
    if bytes.len() > BYTES_MAX {
        return Err(format!("the list is longer than {} KiB", BYTES_MAX >> 10));
    }
    let written: Option<Vec<Written>> = serde_yaml::from_slice(bytes).map_err(|error| error.to_string())?;
    // More likely one that is being written than one that means nobody.
    let written = written.ok_or("the file holds no list; write `[]` where nobody is to be called")?;
    if written.len() > ENDPOINTS_MAX {
        return Err(format!("the list has {} endpoints, and may have {ENDPOINTS_MAX}", written.len()));
    }
    let endpoints = written.iter().map(Written::read).collect::<Result<Vec<_>, _>>()?;
    let twice = |at: usize| endpoints[..at].iter().any(|before| before.is_same_place(&endpoints[at]));
    match (0..endpoints.len()).find(|at| twice(*at)) {
        Some(at) => Err(format!("the list names `{}` twice", written[at].url)),
        None => Ok(endpoints),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_urls_and_what_is_said_about_them() {
        let list = "# endpoints\n- http://10.0.0.1:1\n- { url: \"https://b.internal:2\", weight: 3, zone: eu-1, version: v2 }\n";
        let described =
            EndpointSpec { weight: 3, zone: Some("eu-1".into()), version: Some("v2".into()), ..EndpointSpec::new("b.internal", 2, true) };
        assert_eq!(read(list.as_bytes()), Ok(vec![EndpointSpec::new("10.0.0.1", 1, false), described]));
        assert_eq!(read(b"[]"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said_with_its_place() {
        for (list, place) in [
            ("- http://10.0.0.1:1\n- ftp://10.0.0.1:2\n", "line 2"),
            ("- http://10.0.0.1:1\n- { url: \"http://a:1\", wieght: 3 }\n", "line 2"),
            ("- { url: \"http://a:1\",\n    weight: 0 }\n", "line 1"),
            ("- http://a:1\n- [\n", "line 2"),
            ("endpoints: []\n", "expected a sequence"),
            ("# nobody\n", "no list"),
            ("- http://a:1\n- { url: \"http://a:1\", weight: 2 }\n", "twice"),
        ] {
            let said = read(list.as_bytes()).unwrap_err();
            assert!(said.contains(place), "{list:?}: {said}");
        }
        let many: String = (0..=ENDPOINTS_MAX).map(|n| format!("- http://a:{}\n", n + 1)).collect();
        assert!(read(many.as_bytes()).unwrap_err().contains("1025"));
    }
}
