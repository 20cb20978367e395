//! The browser on pages of its own: what it must see, and what it must not let pass.

use super::*;
use crate::harness::{descendants, is_alive};
use std::fs;
use std::path::{Path, PathBuf};

/// A page in the browser's own directory.
fn page(browser: &Browser, html: &str) {
    let path = browser.driver.directory().join("page.html");
    fs::write(&path, format!("<!doctype html><html lang=en><title>A page</title>{html}")).unwrap();
    browser.goto(&format!("file://{}", path.display()));
}

fn file(browser: &Browser, name: &str) -> PathBuf {
    browser.driver.directory().join(name)
}

#[test]
fn a_page_is_read_filled_in_and_sent() {
    let Some(browser) = Browser::start() else { return };
    page(
        &browser,
        "<form><input id=name value=old><input id=file type=file hidden><button>Send</button></form>
        <p id=late hidden>late</p><p id=said></p><script>
        document.forms[0].onsubmit = (event) => {
            event.preventDefault();
            const chosen = document.getElementById('file').files[0].name;
            said.textContent = `${document.getElementById('name').value} ${chosen}`;
            setTimeout(() => { late.hidden = false; }, 100);
        };
        document.onkeydown = (event) => { said.title += `${event.shiftKey} ${event.key},`; };
        </script>",
    );
    let chosen = file(&browser, "chosen.txt");
    fs::write(&chosen, "text").unwrap();
    browser.gone("#late");
    browser.fill("#name", "new");
    browser.choose_file("#file", &chosen);
    browser.click("button");
    assert_eq!(browser.find("#late").eval("element.textContent"), "late");
    assert_eq!(browser.text("#said"), "new chosen.txt");
    browser.press("Shift+Tab");
    browser.press("a");
    assert_eq!(
        browser.find("#said").attribute("title").as_deref(),
        Some("false n,false e,false w,true Shift,true Tab,false a,")
    );
    let value = browser.find("#name").eval("element.value");
    assert_eq!(value, "a", "the focus went back to the field, and Tab selects what is in one");
    assert_eq!(browser.title(), "A page");
    assert!(browser.url().ends_with("/page.html"));
    assert_eq!(browser.find("#said").attribute("class"), None);
}

#[test]
fn a_page_is_seen_as_it_is_wanted() {
    let Some(browser) = Browser::start() else { return };
    let html = "<style>#dark { display: none; } .wide { width: 500px; height: 3000px; }
        @media (prefers-color-scheme: dark) { #dark { display: block; } }</style>
        <p id=dark>dark</p><noscript><p id=none>none</p></noscript><p class=wide><b>wide</b></p>
        <script>document.title = 'ran'</script>";
    page(&browser, html);
    assert_eq!(browser.eval("[innerWidth, innerHeight]"), json!([1280, 800]));
    browser.gone("#dark");
    browser.set_dark(true);
    assert_eq!(browser.text("#dark"), "dark");
    let wide = browser.no_horizontal_scroll().unwrap_err();
    assert!(
        wide.ends_with(r#"p[class="wide"]"#) && wide.starts_with("508 px where 360 px are: "),
        "{wide}"
    );
    browser.set_size(640, 400);
    assert_eq!(browser.title(), "ran");
    browser.set_no_script(true);
    page(&browser, html);
    assert_eq!((browser.title().as_str(), browser.text("#none").as_str()), ("A page", "none"));
    assert_eq!(browser.eval("[innerWidth, innerHeight]"), json!([640, 400]));
    page(&browser, "<p>narrow</p>");
    assert_eq!(browser.no_horizontal_scroll(), Ok(()));
    page(&browser, html);
    let picture = file(&browser, "page.png");
    browser.screenshot(&picture);
    let (width, height) = size_of(&picture);
    assert!(width == 640 && height > 3000, "{width} × {height}");
}

/// Size of a PNG, as its head tells.
fn size_of(picture: &Path) -> (u32, u32) {
    let bytes = fs::read(picture).unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn what_is_wrong_with_a_page_is_found() {
    let Some(browser) = Browser::start() else { return };
    page(
        &browser,
        "<meta http-equiv=Content-Security-Policy content=\"script-src 'self'; style-src 'unsafe-inline'\">
        <style>.silent:focus { outline: none; } .slow { transition: box-shadow 0.2s; }
        .slow:focus { outline: none; box-shadow: 0 0 3px blue; } .pale { color: #bbb; }</style>
        <main><h1>A page</h1><a href=a>seen</a> <button class=silent>silent</button>
        <button class=slow aria-label=shadow>×</button><p class=pale>pale</p></main>
        <script>document.title = 'ran'</script>",
    );
    let errors = browser.console_errors();
    assert!(errors.len() == 1 && errors[0].contains("inline script"), "{errors:?}");
    assert_eq!(browser.console_errors(), Vec::<String>::new());
    if let Some(violations) = browser.axe() {
        let ids: Vec<_> = violations.iter().map(|it| (it.id.as_str(), it.nodes.len())).collect();
        assert_eq!(ids, [("color-contrast", 1)], "{violations:?}");
        assert!(violations[0].to_string().contains("p: Fix"), "{}", violations[0]);
    }
    let order = browser.tab_order();
    let order: Vec<_> =
        order.iter().map(|it| (it.element.as_str(), it.name.as_str(), it.shows_focus)).collect();
    let expected = [
        (r#"a[href="a"]"#, "seen", true),
        (r#"button[class="silent"]"#, "silent", false),
        (r#"button[class="slow"]"#, "shadow", true),
    ];
    assert_eq!(order, expected);
    page(&browser, "<script>throw new Error('thrown')</script>");
    let errors = browser.console_errors();
    assert!(errors.len() == 1 && errors[0].contains("thrown"), "{errors:?}");
    assert!(browser.tab_order().is_empty());
}

#[test]
fn a_browser_leaves_no_process_and_no_file() {
    let Some(browser) = Browser::start() else { return };
    let directory = browser.driver.directory().to_owned();
    let mut family = descendants(browser.driver.pid());
    family.push(browser.driver.pid());
    assert!(family.len() > 2, "{family:?}");
    drop(browser);
    assert!(!family.into_iter().any(is_alive));
    assert!(!directory.exists());
}
