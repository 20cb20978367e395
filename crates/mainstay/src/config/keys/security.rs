//! `[security]`: what is told of clients beside what limits and bans refuse. docs/security-events.md is the guide.

use super::{Key, ROW};
use crate::config::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "security.login_routes",
        kind: Kind::Places,
        doc: "Where the application takes logins, such as \"POST /login\": an answer of 401 or 403 is a failed \
              one. Without any, only the login kit and the application's code tell of logins.",
        ..ROW
    },
    Key {
        path: "security.attack_tools",
        kind: Kind::Words,
        default: "acunetix, arachni, commix, dirbuster, dirb, feroxbuster, fuzz faster u fool, gobuster, havij, \
                  (hydra), jorgee, masscan, morfeus, nessus, netsparker, nikto, nmap, nuclei, openvas, skipfish, \
                  sqlmap, w3af, wapiti, wfuzz, whatweb, wpscan, zgrab, zmeu",
        doc: "Names in user agents by which scanners are known. Whoever has one and is answered with a 4xx is told \
              of. Empty: nobody is.",
        ..ROW
    },
];
