//! `protogate dashboard`: where the operator's page is, with the token that opens it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;

use super::admin_client::{AdminClient, Door};
use super::{Exit, UNREADABLE, say, wait};

/// How long a browser may take to read the page that leads it on.
const READ_BY: Duration = Duration::from_secs(10);

/// Say where the dashboard of the running gateway is.
///
/// The URL holds the operator's token behind its `#`: browsers send that part to nobody, and the page takes it out of the address at once.
///
/// Example: protogate dashboard
#[derive(Args)]
pub struct Dashboard {
    /// Open it in the browser of this desktop, instead.
    #[arg(long)]
    open: bool,

    #[command(flatten)]
    door: Door,
}

// === impl Dashboard ===

impl Dashboard {
    pub fn run(self) -> Result<(), Exit> {
        let client = AdminClient::of(self.door)?;
        let url = format!("http://{}/#token={}", reachable(client.address()), escaped(client.token()));
        match self.open {
            true => open(&url),
            false => {
                say(&format!("{url}\n"));
                Ok(())
            }
        }
    }
}

/// Opens a browser there. The command line of a process is for everybody to see, so the browser is not told the URL, but a file that only
/// we can read.
fn open(url: &str) -> Result<(), Exit> {
    let failed = |what: &str, error: std::io::Error| {
        Exit::new(UNREADABLE, format!("error: {what}: {error}\n  help: leave `--open` out, and open what is printed"))
    };
    let folder = std::env::temp_dir().join(format!("protogate-{}", crate::random::name()));
    let data = crate::data::DataFolder::at(&folder);
    let page = format!("<!doctype html><meta http-equiv=\"refresh\" content=\"0; url={url}\"><title>protogate</title>");
    data.replace("dashboard.html", page.as_bytes()).map_err(|error| failed("the file for the browser cannot be written", error))?;
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = |command: &mut Command| command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let opened = quiet(Command::new(program).arg(folder.join("dashboard.html")));
    if opened.as_ref().is_ok_and(|status| status.success()) {
        wait(READ_BY);
    }
    // What is left behind if this fails is ours alone to read.
    _ = std::fs::remove_dir_all(&folder);
    match opened {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(&format!("`{program}` failed"), std::io::Error::other(status.to_string()))),
        Err(error) => Err(failed(&format!("`{program}` cannot be started"), error)),
    }
}

/// What listens everywhere is reached here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let here = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(here, address.port())
}

/// As it stands in a URL, also in one within a page.
fn escaped(token: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    token.bytes().map(|byte| if safe(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_any_characters_is_one_part_of_the_url() {
        assert_eq!(escaped("aZ09-._~"), "aZ09-._~");
        assert_eq!(escaped("a\"&#=+/ü"), "a%22%26%23%3D%2B%2F%C3%BC");
    }

    #[test]
    fn what_listens_everywhere_is_opened_here() {
        let at = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:7081"), "127.0.0.1:7081");
        assert_eq!(at("[::]:7081"), "[::1]:7081");
        assert_eq!(at("10.0.0.7:7081"), "10.0.0.7:7081");
    }
}
