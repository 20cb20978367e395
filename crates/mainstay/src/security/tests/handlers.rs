//! The kit in the hands of handlers.

use super::*;

/// A service with the kit.
#[derive(Clone)]
struct State(Login);

impl FromRef<State> for Login {
    fn from_ref(state: &State) -> Login {
        state.0.clone()
    }
}

fn service(login: &Login) -> axum::Router {
    async fn sign_in(
        axum::extract::State(State(login)): axum::extract::State<State>,
        context: RequestContext,
    ) -> Result<(SignedIn, &'static str), Failure> {
        Ok((login.sign_in(&context, "admin", &GOOD.into()).await?, "welcome"))
    }
    async fn sign_out(
        axum::extract::State(State(login)): axum::extract::State<State>,
        session: Session,
    ) -> Result<(SignedOut, &'static str), Failure> {
        Ok((login.sign_out(&session).await?, "bye"))
    }
    async fn mine(session: Session) -> String {
        session.user().name.clone()
    }
    async fn anybodys(session: Option<Session>) -> String {
        session.map_or_else(|| "nobody".to_owned(), |it| it.user().name.clone())
    }
    axum::Router::new()
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/mine", get(mine).post(mine))
        .route("/anybodys", get(anybodys))
        .with_state(State(login.clone()))
        .layer(login.csrf())
}

/// The status of an answer, and the cookies that it sets.
async fn asked(
    service: &mut axum::Router,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    scheme: Scheme,
) -> (StatusCode, Vec<String>) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let context = RequestContext::new(Context::begin(|context| {
        context.client = HOME.parse().ok();
        context.scheme = scheme;
        context.host.push_str("shop.example");
    }));
    let request = request.extension(context).body(axum::body::Body::empty()).unwrap();
    let Ok(answer) = service.call(request).await;
    let set = answer.headers().get_all(SET_COOKIE).iter();
    let set = set.map(|it| it.to_str().unwrap().to_owned()).collect();
    (answer.status(), set)
}

#[test]
fn handlers_know_who_asks_and_give_and_take_cookies() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        let mut app = service(&login);
        for (scheme, begin, is_secure) in
            [(Scheme::Http, "session=", false), (Scheme::Https, "__Host-session=", true)]
        {
            let (status, set) = asked(&mut app, "POST", "/sign-in", &[], scheme).await;
            assert_eq!(status, 200);
            assert!(set[0].starts_with(begin), "{set:?}");
            assert_eq!(set[0].contains("; Secure"), is_secure, "{set:?}");
            let cookie = [("cookie", set[0].split(';').next().unwrap())];
            assert_eq!(asked(&mut app, "GET", "/mine", &cookie, scheme).await.0, 200);
            let (status, again) = asked(&mut app, "POST", "/sign-in", &cookie, scheme).await;
            assert_eq!((status, again.len()), (StatusCode::OK, 1));
            assert_eq!(asked(&mut app, "GET", "/mine", &cookie, scheme).await.0, 401, "renewed");
            let cookie = [("cookie", again[0].split(';').next().unwrap())];
            let (status, taken) = asked(&mut app, "POST", "/sign-out", &cookie, scheme).await;
            assert_eq!((status, taken.len()), (StatusCode::OK, 2));
            assert!(taken.iter().all(|it| it.ends_with("Max-Age=0")), "{taken:?}");
            assert_eq!(asked(&mut app, "GET", "/mine", &cookie, scheme).await.0, 401);
            assert_eq!(asked(&mut app, "GET", "/anybodys", &cookie, scheme).await.0, 200);
        }
        let (_, set) = asked(&mut app, "POST", "/sign-in", &[], Scheme::Http).await;
        let cookie = [("cookie", set[0].split(';').next().unwrap())];
        login.pool().sqlx().close().await;
        for path in ["/mine", "/anybodys"] {
            assert_eq!(asked(&mut app, "GET", path, &cookie, Scheme::Http).await.0, 503, "{path}");
            let anonymous = asked(&mut app, "GET", path, &[], Scheme::Http).await.0;
            assert_eq!(anonymous, if path == "/mine" { 401 } else { 200 });
        }
        assert_eq!(asked(&mut app, "POST", "/sign-in", &[], Scheme::Http).await.0, 503);
    });
}

#[test]
fn requests_of_pages_of_other_origins_are_refused_unless_they_change_nothing() {
    run(async |rig| {
        let login = rig.open(patient().trusted_origin("https://admin.example")).await;
        let mut app = service(&login);
        rig.lines();
        // All are without a session: what passes is answered with 401.
        for (fields, status) in [
            (&[][..], 401),
            (&[("sec-fetch-site", "same-origin")], 401),
            (&[("sec-fetch-site", "none")], 401),
            (&[("sec-fetch-site", "cross-site")], 403),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://blog.shop.example")], 403),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://admin.example")], 401),
            (&[("origin", "https://shop.example"), ("host", "10.0.0.1:8000")], 401),
            (&[("origin", "https://evil.example"), ("host", "evil.example")], 403),
            (&[("origin", "null")], 403),
        ] {
            let answered = asked(&mut app, "POST", "/mine", fields, Scheme::Https).await.0;
            assert_eq!(answered, status, "{fields:?}");
            let answered = asked(&mut app, "GET", "/anybodys", fields, Scheme::Https).await.0;
            assert_eq!(answered, 200, "{fields:?}");
        }
        let lines = rig.lines();
        assert_eq!(lines.matches("malicious_csrf:192.0.2.7").count(), 4, "{lines}");
        assert!(lines.contains("(from https://evil.example to shop.example: origin)"), "{lines}");
        assert!(Judge::new(&["shop.example".to_owned()]).is_err());
    });
}
