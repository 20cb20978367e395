//! From the configuration's texts to what is believed of whom.

use super::proxy_protocol::Mode;
use super::{AllowedHosts, Family, Networks, ProxyFix, Trust};
use crate::config::Proxy;

impl Trust {
    /// As `[proxy]` says.
    ///
    /// # Errors
    /// The key and what is wrong with its value.
    pub(crate) fn of(proxy: &Proxy) -> Result<Trust, String> {
        let read = |key: &str, error: &dyn std::fmt::Display| format!("proxy.{key}: {error}");
        Ok(Trust {
            proxies: Networks::parse(&proxy.trusted).map_err(|it| read("trusted", &it))?,
            header: Family::named(&proxy.header).unwrap_or_default(),
            hops: proxy.hops,
            fix: ProxyFix::parse(&proxy.fix).map_err(|it| read("fix", &it))?,
            hosts: AllowedHosts::parse(&proxy.hosts).map_err(|it| read("hosts", &it))?,
            protocol: Mode::named(&proxy.protocol).unwrap_or(Mode::Off),
        })
    }
}
