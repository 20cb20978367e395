//! By what answers show who is up to no good: logins that fail, and user agents of tools that look for holes.

use super::place::Place;
use super::settings::read_many;
use crate::config::Config;
use mainstay_os::segment::{Policy, Strategy};
use std::time::Duration;

/// Failed logins of a client within so much time that are told as too many, where `bans.logins` says nothing.
const FAILS: (u64, Duration) = (5, Duration::from_secs(600));
/// More than anybody fails in that time; of more it is told that there were so many.
const MOST: u64 = 1_000_000;
/// For so long nothing more is told of a tool at one client.
const QUIET: Duration = Duration::from_secs(600);

/// `[security]`, read.
#[derive(Clone, Debug)]
pub(crate) struct Signs {
    logins: Vec<Place>,
    tools: Vec<Box<[u8]>>,
    /// How failed logins are counted.
    pub(crate) fails: Policy,
    /// From how many on they are too many.
    pub(crate) too_many: u64,
    /// How often a tool is told of.
    pub(crate) tool: Policy,
}

impl Signs {
    /// As `[security]` says, and `bans.logins`.
    ///
    /// # Errors
    /// The key and what is wrong with its value.
    pub(crate) fn of(config: &Config) -> Result<Signs, (&'static str, String)> {
        let of_bans = |error| ("bans.logins", error);
        let rates = read_many(&config.bans.logins).map_err(of_bans)?;
        let (too_many, window) =
            rates.first().map_or(FAILS, |rate| (rate.amount, Duration::from_secs(rate.window())));
        let fixed = |amount, window| {
            Policy::new(Strategy::FixedWindow, amount, window).map_err(|it| of_bans(it.to_string()))
        };
        let places = Place::parse_all(&config.security.login_routes);
        let words = config.security.attack_tools.split(',').map(str::trim);
        let words = words.filter(|word| !word.is_empty());
        Ok(Signs {
            logins: places.map_err(|error| ("security.login_routes", error))?,
            tools: words.map(|word| word.to_ascii_lowercase().into_bytes().into()).collect(),
            fails: fixed(MOST, window)?,
            too_many,
            tool: fixed(1, QUIET)?,
        })
    }

    /// Whether any path is one of logins.
    #[inline(always)]
    pub(crate) fn has_logins(&self) -> bool {
        !self.logins.is_empty()
    }

    /// Whether a request is a login.
    pub(crate) fn is_login(&self, method: &str, path: &str) -> bool {
        self.logins.iter().any(|it| it.holds(method, path))
    }

    /// Whether an answer that is well says that somebody has logged in: who looks at the form has not, unless a route says
    /// that so is logged in.
    pub(crate) fn may_succeed(&self, method: &str, path: &str) -> bool {
        let names = |it: &Place| !it.methods.is_empty() && it.holds(method, path);
        !matches!(method, "GET" | "HEAD" | "OPTIONS") || self.logins.iter().any(names)
    }

    /// The tool that a user agent names, if it names one: as a word or words of its own, with no letter or digit beside
    /// them, however they are written.
    pub(crate) fn tool_of(&self, agent: &[u8]) -> Option<&str> {
        let is_apart = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
        let begins = |at: &usize| is_apart(at.checked_sub(1).and_then(|before| agent.get(before)));
        let found = (0..agent.len()).filter(begins).find_map(|at| {
            let (rest, first) = (&agent[at..], agent[at].to_ascii_lowercase());
            let named = |tool: &&[u8]| {
                tool.first() == Some(&first)
                    && rest.get(..tool.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tool))
                    && is_apart(rest.get(tool.len()))
            };
            self.tools.iter().map(|tool| &**tool).find(named)
        })?;
        std::str::from_utf8(found).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn read(lines: &str) -> Signs {
        let file = Some(("mainstay.toml".into(), lines.to_owned()));
        let config = Config::resolve(&Sources { file, ..Sources::default() });
        Signs::of(&config.unwrap_or_else(|error| panic!("{error}"))).unwrap()
    }

    #[test]
    fn scanners_are_known_by_their_names_and_browsers_and_clients_of_programs_are_not() {
        let signs = read("");
        for (agent, tool) in [
            ("sqlmap/1.7.2#stable (https://sqlmap.org)", "sqlmap"),
            ("Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:Port Check)", "nikto"),
            (
                "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)",
                "nmap",
            ),
            ("masscan/1.3 (https://github.com/robertdavidgraham/masscan)", "masscan"),
            ("Mozilla/5.0 zgrab/0.x", "zgrab"),
            ("Nuclei - Open-source project (github.com/projectdiscovery/nuclei)", "nuclei"),
            ("gobuster/3.6", "gobuster"),
            (
                "DirBuster-1.0-RC1 (http://www.owasp.org/index.php/Category:OWASP_DirBuster)",
                "dirbuster",
            ),
            ("WPScan v3.8.25 (https://wpscan.com/wordpress-security-scanner)", "wpscan"),
            ("Mozilla/5.0 (Hydra)", "(hydra)"),
            ("Fuzz Faster U Fool v2.1.0-dev", "fuzz faster u fool"),
        ] {
            assert_eq!(signs.tool_of(agent.as_bytes()), Some(tool), "{agent}");
        }
        for agent in [
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "curl/8.14.1",
            "python-requests/2.32",
            "hydra-client/2.2",
            "unmapped/1.0",
            "mysqlmapper",
            "",
        ] {
            assert_eq!(signs.tool_of(agent.as_bytes()), None, "{agent}");
        }
        assert_eq!(read("security.attack_tools = ''").tool_of(b"sqlmap/1"), None);
        let own = read("security.attack_tools = ['Evil Tool', 'x']");
        assert_eq!(own.tool_of(b"a evil tool/1"), Some("evil tool"));
        assert_eq!(own.tool_of(b"sqlmap/1"), None);
    }

    #[test]
    fn too_many_failed_logins_are_as_many_as_ban_or_five_in_ten_minutes() {
        let usual = read("");
        assert_eq!((usual.too_many, usual.fails.window), FAILS);
        assert!(!usual.has_logins());
        let own = read("bans.logins = '3/hour'\nsecurity.login_routes = ['POST /login', '/in/*']");
        assert_eq!((own.too_many, own.fails.window), (3, Duration::from_secs(3_600)));
        assert!(own.is_login("POST", "/login") && own.is_login("GET", "/in/a"));
        assert!(own.has_logins() && !own.is_login("GET", "/login"));
    }

    #[test]
    fn who_gets_a_form_has_not_logged_in_unless_a_route_names_that_method() {
        let signs = read("security.login_routes = ['/in/*', 'GET /enter', 'POST /login']");
        assert!(signs.may_succeed("POST", "/in/a") && signs.may_succeed("PUT", "/in/a"));
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(!signs.may_succeed(method, "/in/a"), "{method}");
        }
        assert!(signs.may_succeed("GET", "/enter") && signs.may_succeed("HEAD", "/enter"));
        assert!(!signs.may_succeed("OPTIONS", "/enter"));
    }
}
