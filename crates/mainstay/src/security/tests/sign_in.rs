//! Signing in, and what is done against guessing.

use super::*;

#[test]
fn somebody_signs_in_and_out_and_is_nobody_then() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        rig.lines();
        let signed_in = login.sign_in(&from(HOME), " Admin ", &GOOD.into()).await.unwrap();
        assert_eq!((&*signed_in.user().name, &*signed_in.user().role), ("admin", "admin"));
        let session = login.of_cookie(&signed_in, &from(HOME)).await.unwrap();
        assert_eq!(session.user(), signed_in.user());
        login.refuse(&session, "orders/delete");
        login.sign_out(&session).await.unwrap();
        assert_eq!(login.user(&signed_in).await, None);
        assert_eq!(login.user(&signed_in).await, None);
        let lines = rig.lines();
        for once in [
            "authn_login_success:admin",
            "session_created:admin",
            "authz_fail:admin,orders/delete",
            "session_logout:admin",
            "session_use_after_expire:admin (ended by logout)",
        ] {
            assert_eq!(lines.matches(once).count(), 1, "{once} in\n{lines}");
        }
        assert!(login.session(&HeaderMap::new(), None).await.unwrap().is_none());
    });
}

#[test]
fn wrong_passwords_unknown_names_and_disabled_users_are_told_apart_by_nothing() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        for name in ["bob", "carol"] {
            let (_, link) = login.add_user("admin", name, "user").await.unwrap();
            login.redeem(&from(HOME), link.token(), None, &GOOD.into()).await.unwrap();
        }
        login.add_user("admin", "new", "user").await.unwrap();
        login.disable_user("admin", "carol").await.unwrap();
        rig.lines();
        let long = "a".repeat(2_000);
        for (name, password, why) in [
            ("bob", OTHER, "bob (wrong password)"),
            ("carol", GOOD, "carol (disabled)"),
            ("new", "", "new (no password yet)"),
            ("hunter2", GOOD, "(unknown name)"),
            ("bob", &*long, "bob (wrong password)"),
        ] {
            let before = login.inner.hashers.computed();
            let refused = login.sign_in(&from(AWAY), name, &password.into()).await.unwrap_err();
            assert!(matches!(refused, Refusal::Wrong), "{name}");
            assert_eq!(refused.text(), "Name or password is wrong.");
            assert_eq!(login.inner.hashers.computed(), before + 1, "{name}: one hash");
            let lines = rig.lines();
            assert!(lines.contains("authn_login_fail:") && lines.contains(why), "{lines}");
            assert!(!lines.contains("hunter2"), "what is no name may be a password");
        }
    });
}

#[test]
fn an_account_is_locked_after_three_failures_but_not_for_its_owner_at_home() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        rig.lines();
        for _ in 0..4 {
            is_wrong(&login.sign_in(&from(AWAY), "admin", &OTHER.into()).await);
        }
        let lines = rig.lines();
        assert!(lines.contains("authn_login_fail_max:admin,3 (of the account)"), "{lines}");
        assert!(lines.contains("authn_login_lock:admin,maxretries (the account, for 1.0 s)"));
        let before = login.inner.hashers.computed();
        let locked = login.sign_in(&from(AWAY), "admin", &GOOD.into()).await;
        is_wrong(&locked);
        assert_eq!(login.inner.hashers.computed(), before + 1, "locked costs one hash too");
        login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        is_wrong(&login.sign_in(&from(AWAY), "admin", &GOOD.into()).await);
        login.pass(1_000);
        rig.lines();
        login.sign_in(&from(AWAY), "admin", &GOOD.into()).await.unwrap();
        let lines = rig.lines();
        assert!(lines.contains("authn_login_successafterfail:admin,4"), "{lines}");
        is_wrong(&login.sign_in(&from(AWAY), "admin", &OTHER.into()).await);
        login.sign_in(&from(AWAY), "admin", &GOOD.into()).await.unwrap();
    });
}

#[test]
fn delays_double_up_to_their_limits_and_end_with_the_window() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let mut waits = Vec::new();
        for number in 0..12 {
            let client = format!("2001:db8:{number}::1");
            let gate = login.gate(client.parse().ok(), "bob").await.unwrap();
            assert!(gate.is_open, "{number}");
            let (id, _) = gate.counters.last().unwrap();
            let (fails, until, _) = login.counter(id).await.unwrap().unwrap();
            assert_eq!(fails, number + 1);
            let wait = (until - login.now()).max(0);
            waits.push(wait / 1_000);
            let shut = login.gate("192.0.2.1".parse().ok(), "bob").await.unwrap();
            assert_eq!(shut.is_open, wait <= 0, "{number}");
            if shut.is_open {
                login.uncount(&shut).await;
            }
            login.pass(wait);
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        login.pass(throttle::WINDOW + 1);
        assert_eq!(login.tries(HOME, "bob", 5).await, [true, true, true, true, false]);
    });
}

#[test]
fn a_client_is_locked_after_twenty_failures_at_whatever_names() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        for number in 0..21 {
            let client = format!("2001:db8:1:2::{number:x}");
            let tries = login.tries(&client, &format!("name{number}"), 1).await;
            assert_eq!(tries, [true], "{number}");
        }
        assert_eq!(login.tries("2001:db8:1:2::", "other", 2).await, [false, false]);
        assert_eq!(login.tries("2001:db8:1:3::", "other", 1).await, [true], "another network");
        login.pass(999);
        assert_eq!(login.tries("2001:db8:1:2::", "other", 1).await, [false]);
        login.pass(1);
        assert_eq!(login.tries("2001:db8:1:2::", "other", 2).await, [true, false]);
    });
}

#[test]
fn as_many_tries_at_once_are_counted_as_one_after_another() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let clients: Vec<String> = (0..12).map(|it| format!("192.0.2.{it}")).collect();
        let tries = clients.iter().map(|client| login.gate(client.parse().ok(), "bob"));
        let open = join_all(tries).await.into_iter().filter(|it| it.as_ref().unwrap().is_open);
        assert_eq!(open.count(), 4, "three that are free, and the one that locks");
    });
}
