//! A world of two hosts in a network of its own: this process on one, a web server on the other, and one way
//! between them, which can be cut.

use super::{find, missing};
use crate::harness::poll;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Set for the process that is inside.
const INSIDE: &str = "E2E_INSIDE";
/// Where the web server is.
const THERE: &str = "10.88.0.2";
/// An address of the same host on which nobody listens: who refuses is there.
const REFERENCE: &str = "10.77.0.3";
const PORT: u16 = 8_080;
const WAY: &str = "10.99.0.2";
const PATIENCE: Duration = Duration::from_secs(20);

/// The world. Dropped, its other host is gone, and with it the way there.
#[derive(Debug)]
pub struct World {
    there: Child,
    _directory: tempfile::TempDir,
}

impl World {
    /// Runs the test of this name again, in a network that is empty but for the loopback device, and there gives
    /// a world. In the process outside it gives nothing, when the one inside has ended well.
    ///
    /// # Panics
    /// When the test inside fails, and where networks cannot be made while `CI` is set.
    #[must_use]
    pub fn within(test: &str) -> Option<World> {
        if std::env::var_os(INSIDE).is_some() {
            return Some(World::make());
        }
        let may = Command::new("unshare").args(["-n", "true"]).output();
        if find("ip").is_none() || !may.is_ok_and(|it| it.status.success()) {
            missing("a network of one's own (ip and unshare, as root)");
            return None;
        }
        let own = std::env::current_exe().expect("a test is a program");
        let mut inside = Command::new("unshare");
        inside.arg("-n").arg(own).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
        let output = inside.output().expect("it has just been tried");
        let said = String::from_utf8_lossy(&output.stdout);
        let ran = said.contains("1 passed");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && ran, "inside, {test} fails:\n{said}\n{told}");
        None
    }

    fn make() -> World {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut there = Command::new("unshare");
        there.args(["-n", "python3", "-m", "http.server", &PORT.to_string(), "--directory"]);
        there.arg(directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let there = there.spawn().expect("unshare and Python are there");
        let pid = there.id();
        let network =
            |of: &str| std::fs::read_link(Path::new("/proc").join(of).join("ns/net")).ok();
        let moved = poll(PATIENCE, || (network(&pid.to_string()) != network("self")).then_some(()));
        assert!(moved.is_some(), "the other host has no network of its own");
        let world = World { there, _directory: directory };
        ip("link set lo up");
        ip(&format!("link add here type veth peer name there netns {pid}"));
        ip("addr add 10.99.0.1/24 dev here");
        ip("link set here up");
        for address in [
            format!("{WAY}/24 dev there"),
            format!("{THERE}/32 dev lo"),
            format!("{REFERENCE}/32 dev lo"),
        ] {
            world.ip_there(&format!("addr add {address}"));
        }
        world.ip_there("link set there up");
        world.ip_there("link set lo up");
        world.mend();
        let serves = || TcpStream::connect((THERE, PORT)).ok();
        assert!(poll(PATIENCE, serves).is_some(), "the other host does not serve");
        world
    }

    fn ip_there(&self, words: &str) {
        let pid = self.there.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-n", "ip"]).args(words.split(' '));
        run(command);
    }

    /// What a probe asks for.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{THERE}:{PORT}/")
    }

    /// What answers if anything does.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{REFERENCE}:9")
    }

    /// From now on packets to anywhere but the neighbour are thrown away.
    pub fn cut(&self) {
        ip("route del default");
        ip("route add blackhole default");
    }

    /// There is a way again.
    pub fn mend(&self) {
        // There may be none.
        Command::new("ip").args(["route", "del", "blackhole", "default"]).output().ok();
        ip(&format!("route add default via {WAY}"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.there.kill().ok();
        self.there.wait().ok();
    }
}

fn ip(words: &str) {
    let mut command = Command::new("ip");
    command.args(words.split(' '));
    run(command);
}

fn run(mut command: Command) {
    let output = command.output().expect("ip and nsenter are there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
