//! One-time links.

use super::*;

#[test]
fn one_worker_gets_the_first_link_and_another_one_only_when_it_has_expired() {
    run(async |rig| {
        let (one, other) = (rig.open(patient()).await, rig.open(patient()).await);
        let links = join_all([one.first_link(), other.first_link()]).await;
        let links: Vec<Link> = links.into_iter().filter_map(|it| it.unwrap()).collect();
        let [link] = &links[..] else { panic!("{links:?}") };
        let found = one.link_of(link.token()).await.unwrap().unwrap();
        assert_eq!((found.user, found.expires_unix_ms), (None, link.expires_unix_ms()));
        one.pass(61 * MINUTE);
        assert_eq!(one.link_of(link.token()).await.unwrap(), None);
        let expired = one.redeem(&from(HOME), link.token(), Some("bob"), &GOOD.into()).await;
        assert!(matches!(expired, Err(Refusal::LinkVoid)));
        let link = one.first_link().await.unwrap().unwrap();
        for (name, password, status) in [(None, GOOD, 422), (Some("b"), "short", 422)] {
            let refused = one.redeem(&from(HOME), link.token(), name, &password.into()).await;
            assert_eq!(refused.unwrap_err().status(), status);
        }
        let signed_in = one.redeem(&from(HOME), link.token(), Some("Bob"), &GOOD.into()).await;
        let user = signed_in.unwrap().user().clone();
        assert_eq!((&*user.name, &*user.role, user.disabled), ("bob", "admin", false));
        one.pass(61 * MINUTE);
        assert!(one.first_link().await.unwrap().is_none(), "there is a user");
    });
}

#[test]
fn a_first_link_is_void_once_there_is_a_user() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let first = login.first_link().await.unwrap().unwrap();
        let (user, link) = login.add_user("console", "bob", "admin").await.unwrap();
        let refused = login.redeem(&from(HOME), first.token(), Some("eve"), &GOOD.into()).await;
        assert!(matches!(refused, Err(Refusal::LinkVoid)));
        let found = login.link_of(link.token()).await.unwrap().unwrap();
        assert_eq!(found.user.as_deref(), Some("bob"));
        assert_eq!(login.users().await.unwrap(), [user]);
    });
}

#[test]
fn a_link_is_used_once_however_many_try_at_once() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        let (_, link) = login.add_user("admin", "bob", "user").await.unwrap();
        rig.lines();
        let passwords: Vec<Password> =
            (0..8).map(|it| Password::from(format!("{GOOD} {it}"))).collect();
        let contexts: Vec<RequestContext> = (0..8).map(|_| from(HOME)).collect();
        let tries = contexts
            .iter()
            .zip(&passwords)
            .map(|(context, password)| login.redeem(context, link.token(), None, password));
        let all = join_all(tries).await;
        let winners: Vec<usize> = (0..8).filter(|&it| all[it].is_ok()).collect();
        let [winner] = winners[..] else { panic!("{all:?}") };
        let void = all.iter().filter(|it| matches!(it, Err(Refusal::LinkVoid))).count();
        assert_eq!(void, 7, "{all:?}");
        login.sign_in(&from(HOME), "bob", &passwords[winner]).await.unwrap();
        assert_eq!(rig.lines().matches("authn_token_reuse:bob").count(), 7);
        assert!(login.link_of(link.token()).await.unwrap().is_none());
    });
}

#[test]
fn a_newer_link_makes_older_ones_void_and_ends_what_somebody_else_had() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let signed_in = login.with_admin().await;
        let old = login.renew_link("admin", "admin").await.unwrap();
        let new = login.renew_link("admin", "admin").await.unwrap();
        let refused = login.redeem(&from(HOME), old.token(), None, &OTHER.into()).await;
        assert!(matches!(refused, Err(Refusal::LinkVoid)));
        assert!(login.user(&signed_in).await.is_some(), "until the link is used");
        assert_eq!(login.tries(AWAY, "admin", 5).await, [true, true, true, true, false]);
        login.redeem(&from(AWAY), new.token(), None, &OTHER.into()).await.unwrap();
        assert_eq!(login.user(&signed_in).await, None);
        is_wrong(&login.sign_in(&from(HOME), "admin", &GOOD.into()).await);
        login.sign_in(&from("192.0.2.99"), "admin", &OTHER.into()).await.unwrap();
        for bad in ["", "x", &format!("{}x", new.token())] {
            let refused = login.redeem(&from(HOME), bad, None, &OTHER.into()).await;
            assert!(matches!(refused, Err(Refusal::LinkVoid)));
        }
    });
}
