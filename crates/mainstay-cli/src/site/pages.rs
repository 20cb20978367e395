//! The pages: compiled once when a worker boots, then only filled in.

use super::{format, markdown};
use mainstay::security::Session;
use minijinja::value::{Serde, Value, merge_maps};
use minijinja::{Environment, Error, UndefinedBehavior, context};

/// The templates. The ending `.html` is what turns escaping on, and `.xml` and `.svg` do so too.
const TEMPLATES: &[(&str, &str)] = &[
    ("base.html", include_str!("assets/base.html")),
    ("parts.html", include_str!("assets/parts.html")),
    ("index.html", include_str!("assets/index.html")),
    ("history.html", include_str!("assets/history.html")),
    ("incident.html", include_str!("assets/incident.html")),
    ("login.html", include_str!("assets/login.html")),
    ("setup.html", include_str!("assets/setup.html")),
    ("operate.html", include_str!("assets/operate.html")),
    ("edit.html", include_str!("assets/edit.html")),
    ("components.html", include_str!("assets/components.html")),
    ("service.html", include_str!("assets/service.html")),
    ("users.html", include_str!("assets/users.html")),
    ("account.html", include_str!("assets/account.html")),
    ("feed.xml", include_str!("assets/feed.xml")),
    ("badge.svg.xml", include_str!("assets/badge.svg.xml")),
];

/// The site's error pages, which the library fills in.
pub(crate) const ERROR_PAGES: &[(&str, &str)] = &[
    ("error.html", include_str!("assets/error.html")),
    ("404.html", include_str!("assets/404.html")),
];

/// The compiled templates with their filters.
#[derive(Debug)]
pub(crate) struct Pages(Environment<'static>);

impl Pages {
    /// Compiles the embedded templates.
    ///
    /// # Errors
    /// When one of them is not valid.
    pub(crate) fn new() -> Result<Pages, Error> {
        let mut templates = Environment::new();
        // A misspelt name shall fail a test rather than show an empty cell.
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.add_filter("duration", format::duration);
        templates.add_filter("ago", format::ago);
        templates.add_filter("size", format::size);
        templates.add_filter("count", format::count);
        templates
            .add_filter("markdown", |text: &str| Value::from_safe_string(markdown::render(text)));
        templates.add_filter("html", |text: &str| Value::from_safe_string(text.to_owned()));
        for (name, text) in TEMPLATES {
            templates.add_template(name, text)?;
        }
        Ok(Pages(templates))
    }

    /// A page of the site `title`, for whoever has signed in, or for everybody.
    ///
    /// # Errors
    /// When the context lacks something that the page shows.
    pub(crate) fn render(
        &self,
        name: &str,
        title: &str,
        session: Option<&Session>,
        context: serde_json::Value,
    ) -> Result<String, Error> {
        let user = session.map(Session::user);
        let me = user.map(|it| context! { name => it.name.as_str(), role => it.role.as_str() });
        let own = Value::from(Serde(context));
        // Of what stands twice the last counts.
        let all = merge_maps([context! { site => title, me, done => () }, own]);
        self.0.get_template(name)?.render(all)
    }

    /// A document that is no page.
    ///
    /// # Errors
    /// When the context lacks something that it shows.
    pub(crate) fn document(&self, name: &str, context: serde_json::Value) -> Result<String, Error> {
        self.0.get_template(name)?.render(Value::from(Serde(context)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_templates_compile() {
        assert!(Pages::new().is_ok());
    }

    #[test]
    fn what_people_wrote_is_never_markup() {
        let pages = Pages::new().expect("the embedded templates compile");
        let context = json!({ "next": "/\"><script>", "name": "<b>", "error": "<i>" });
        let html = pages.render("login.html", "<u>site", None, context).expect("it renders");
        for mark in ["<b>", "<i>", "<u>", "\"><script>"] {
            assert!(!html.contains(mark), "{mark} in\n{html}");
        }
    }
}
