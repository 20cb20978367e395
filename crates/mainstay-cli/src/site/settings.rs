//! The site's own settings, the table `[app]` of the configuration.

use mainstay::BoxError;
use serde::Deserialize;
use std::path::PathBuf;

/// ```toml
/// [app]
/// title = "Shop status"             # default: the service's name
/// url = "https://status.example"    # in feeds and links; default: what the request says
/// uploads = "uploads"               # directory of attachments
/// upload_limit = 10                 # largest attachment, MiB
/// upload_quota = 1024               # all attachments together, MiB
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) title: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) uploads: PathBuf,
    upload_limit: u64,
    upload_quota: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            title: None,
            url: None,
            uploads: PathBuf::from("uploads"),
            upload_limit: 10,
            upload_quota: 1_024,
        }
    }
}

impl Settings {
    /// Bytes of the largest attachment.
    pub(crate) fn upload_limit(&self) -> u64 {
        self.upload_limit << 20
    }

    /// Bytes of all attachments together.
    pub(crate) fn upload_quota(&self) -> u64 {
        self.upload_quota << 20
    }

    /// # Errors
    /// When a value cannot be meant; the text names it.
    pub(crate) fn checked(mut self) -> Result<Settings, BoxError> {
        for (name, value) in
            [("upload_limit", self.upload_limit), ("upload_quota", self.upload_quota)]
        {
            if !(1..=1 << 30).contains(&value) {
                return Err(format!("[app]: {name} is {value}; it has 1 to {} MiB", 1 << 30).into());
            }
        }
        if let Some(url) = &mut self.url {
            *url = url.trim_end_matches('/').to_owned();
            if !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(
                    format!("[app]: url is {url:?}; it begins with https:// or http://").into()
                );
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_by_its_name() {
        let of = |edit: fn(&mut Settings)| {
            let mut settings = Settings::default();
            edit(&mut settings);
            settings.checked().map_err(|error| error.to_string())
        };
        assert!(of(|it| it.upload_limit = 0).unwrap_err().starts_with("[app]: upload_limit is 0"));
        assert!(of(|it| it.url = Some("shop.example".into())).unwrap_err().contains("https://"));
        let fine = of(|it| it.url = Some("https://shop.example/".into())).unwrap();
        assert_eq!(fine.url.as_deref(), Some("https://shop.example"));
        assert_eq!((fine.upload_limit(), fine.upload_quota()), (10 << 20, 1 << 30));
    }
}
