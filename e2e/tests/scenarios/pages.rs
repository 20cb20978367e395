//! The built-in site in a real browser: for every eye, on a phone, without script; from set-up to sign-out by
//! clicks alone.

use crate::site::{PASSWORD, first_link, site};
use crate::support::*;
use e2e::browser::Browser;
use e2e::harness::Service;

/// A ready site and a browser at its page; nothing where there is no browser.
fn opened(path: &str) -> Option<(Service, Browser)> {
    let browser = Browser::start()?;
    let service = site("workers.count = 2");
    browser.goto(&at(&service, path));
    Some((service, browser))
}

fn at(service: &Service, path: &str) -> String {
    format!("http://{}{path}", service.address)
}

/// Fails when axe-core finds anything in either colour scheme, when the console has an error, when the page
/// scrolls sideways on a phone, or hides where the focus is.
fn assert_good(browser: &Browser) {
    let url = browser.url();
    for is_dark in [false, true] {
        browser.set_dark(is_dark);
        let Some(violations) = browser.axe() else { break };
        let list: Vec<_> = violations.iter().map(ToString::to_string).collect();
        let list = list.join("\n");
        assert!(list.is_empty(), "{url} (dark: {is_dark}):\n{list}");
    }
    browser.set_dark(false);
    assert_eq!(browser.console_errors(), Vec::<String>::new(), "{url}");
    assert_eq!(browser.no_horizontal_scroll(), Ok(()), "{url}");
    for stop in browser.tab_order() {
        assert!(stop.shows_focus, "{url}: {stop:?}");
    }
}

/// Keeps a picture of the page where `E2E_PICTURES` says.
fn picture(browser: &Browser, name: &str) {
    let Some(place) = std::env::var_os("E2E_PICTURES") else { return };
    browser.screenshot(&std::path::Path::new(&place).join(format!("{name}.png")));
}

fn wait_text(browser: &Browser, css: &str, text: &str) {
    browser.wait(text, |it| it.text(css).contains(text).then_some(()));
}

#[test]
fn an_incident_is_told_from_set_up_to_sign_out_by_clicks() {
    let _together = together();
    let Some((service, browser)) = opened("/") else { return };
    wait_text(&browser, "#overall", "All systems operational");
    assert_good(&browser);
    picture(&browser, "index");
    browser.goto(&at(&service, &first_link(&service)));
    assert_good(&browser);
    picture(&browser, "setup");
    browser.fill("input[name=name]", "alice");
    browser.fill("input[name=password]", PASSWORD);
    browser.fill("input[name=again]", PASSWORD);
    browser.click("form.narrow button");
    browser.wait("the overview", |it| (it.url() == at(&service, "/operate")).then_some(()));
    assert_good(&browser);
    browser.click("main .actions a");
    assert_good(&browser);
    a_draft_is_written_looked_at_and_published(&browser);
    it_is_resolved(&service, &browser);
    for path in [
        "/operate",
        "/operate/components",
        "/operate/service",
        "/operate/users",
        "/operate/account",
    ] {
        browser.goto(&at(&service, path));
        assert_good(&browser);
        picture(&browser, path.rsplit('/').next().expect("a name"));
    }
    browser.click(".top form button");
    browser.wait("the public page", |it| (it.url() == at(&service, "/")).then_some(()));
    browser.goto(&at(&service, "/operate/users"));
    assert_eq!(browser.url(), at(&service, "/login?next=%2Foperate%2Fusers"));
    assert_good(&browser);
    picture(&browser, "login");
    browser.fill("input[name=name]", "alice");
    browser.fill("input[name=password]", PASSWORD);
    browser.press("Enter");
    browser.wait("the list of users", |it| it.url().ends_with("/operate/users").then_some(()));
}

fn a_draft_is_written_looked_at_and_published(browser: &Browser) {
    browser.fill("input[name=title]", "Checkout is slow");
    browser.click("input[name=component][value=service]");
    browser.fill("textarea[name=body]", "We are **looking** into it.");
    browser.click("button[name=preview]");
    wait_text(browser, ".preview strong", "looking");
    assert!(browser.url().ends_with("/operate/incidents/new"), "{}", browser.url());
    browser.click(".actions button.second:not([name])");
    wait_text(browser, "main .notice.good", "Saved.");
    assert_good(browser);
    let file = tempfile::Builder::new().suffix(".txt").tempfile().expect("a file");
    std::fs::write(file.path(), "what we saw\n").expect("a file of ours");
    browser.choose_file("input[type=file]", file.path());
    browser.click("form[enctype] button");
    wait_text(browser, "main .notice.good", "The file is attached.");
    browser.click("button[name=publish]");
    wait_text(browser, "main .notice.good", "everybody sees it");
    assert_good(browser);
    picture(browser, "edit");
}

fn it_is_resolved(service: &Service, browser: &Browser) {
    let edit = browser.url();
    browser.goto(&at(service, "/"));
    wait_text(browser, "#news", "Checkout is slow");
    assert!(browser.text("#overall").contains("Some systems are degraded"));
    assert_good(browser);
    picture(browser, "index-incident");
    browser.click("#news h3 a");
    wait_text(browser, "h1", "Checkout is slow");
    assert_good(browser);
    picture(browser, "incident");
    browser.goto(&edit);
    browser.eval("document.querySelector('select[name=status]').value = 'resolved'");
    browser.fill("textarea[name=body]", "All is well again.");
    browser.click("form[action$='/updates'] button");
    wait_text(browser, "main .notice.good", "The update is published.");
    browser.goto(&at(service, "/"));
    wait_text(browser, "#past", "All is well again.");
    wait_text(browser, "#overall", "All systems operational");
    browser.goto(&at(service, "/history"));
    assert_good(browser);
    picture(browser, "history");
}

#[test]
fn the_status_page_refreshes_in_place() {
    let _together = together();
    let Some((service, browser)) = opened("/") else { return };
    wait_text(&browser, "#overall", "All systems operational");
    browser.eval("window.stays = true");
    let mut alice = crate::site::administrator(&service);
    crate::site::incident(&mut alice, "Seen without loading");
    wait_text(&browser, "#news", "Seen without loading");
    assert_eq!(browser.eval("window.stays"), true);
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}

#[test]
fn the_status_page_is_whole_without_script() {
    let _together = together();
    let Some((service, browser)) = opened("/") else { return };
    browser.set_no_script(true);
    browser.goto(&at(&service, "/"));
    assert_eq!(browser.find("#components").eval("element.children.length"), 2);
    assert_good(&browser);
    // The cards of a phone are another layout.
    browser.set_size(360, 740);
    assert_good(&browser);
    picture(&browser, "phone");
}

#[test]
fn a_page_that_is_not_there_leads_back() {
    let _together = together();
    let Some((service, browser)) = opened("/missing") else { return };
    let errors = browser.console_errors();
    assert!(errors.len() == 1 && errors[0].contains("404"), "{errors:?}");
    assert_good(&browser);
    picture(&browser, "missing");
    browser.click("main a");
    assert_eq!(browser.url(), at(&service, "/"));
}
