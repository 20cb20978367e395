//! Sessions: their ids, their time, their end.

use super::*;

#[test]
fn a_session_has_another_id_after_each_change_of_rights() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let first = login.with_admin().await;
        rig.lines();
        // As the layer and the argument of a handler do: the request says which session it has.
        let context = from(HOME);
        login.of_cookie(&first, &context).await.unwrap();
        let second = login.sign_in(&context, "admin", &GOOD.into()).await.unwrap();
        assert_ne!(first.cookie(), second.cookie());
        assert_eq!(login.user(&first).await, None);
        assert_eq!(login.user(&second).await.as_deref(), Some("admin"));
        let lines = rig.lines();
        assert!(lines.contains("session_renewed:admin (sign-in)"), "{lines}");
        assert!(lines.contains("session_use_after_expire:admin (ended by renewed)"), "{lines}");
    });
}

#[test]
fn a_session_ends_when_nobody_uses_it_and_however_much_it_is_used() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let idle = login.with_admin().await;
        let used = login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        rig.lines();
        for _ in 0..24 {
            login.pass(19 * MINUTE);
            assert!(login.user(&used).await.is_some());
        }
        assert_eq!(login.user(&idle).await, None);
        let lines = rig.lines();
        assert!(lines.contains("session_expired:admin,idle (1 sessions)"), "{lines}");
        login.pass(25 * MINUTE);
        assert_eq!(login.user(&used).await, None);
        assert!(rig.lines().contains("session_expired:admin,absolute (1 sessions)"));
        assert_eq!(login.user(&used).await, None);
        assert!(rig.lines().contains("session_use_after_expire:admin (ended by absolute)"));
    });
}

#[test]
fn uses_of_a_session_are_noted_once_a_minute() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let signed_in = login.with_admin().await;
        let seen = async || -> i64 {
            let select = "SELECT seen FROM mainstay_sessions";
            sqlx::query_scalar(select).fetch_one(login.pool()).await.unwrap()
        };
        let begun = seen().await;
        login.pass(MINUTE / 2);
        assert!(login.user(&signed_in).await.is_some());
        assert_eq!(seen().await, begun);
        login.pass(MINUTE / 2);
        assert!(login.user(&signed_in).await.is_some());
        assert!(seen().await >= begun + MINUTE);
    });
}

#[test]
fn a_disabled_user_is_out_at_once_and_comes_back_with_the_same_password() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let signed_in = login.with_admin().await;
        rig.lines();
        login.disable_user("root", "ADMIN").await.unwrap();
        assert_eq!(login.user(&signed_in).await, None);
        assert!(login.users().await.unwrap()[0].disabled);
        is_wrong(&login.sign_in(&from(HOME), "admin", &GOOD.into()).await);
        assert!(matches!(login.renew_link("root", "admin").await, Err(Refusal::NoSuchUser)));
        login.enable_user("root", "admin").await.unwrap();
        login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        assert_eq!(login.user(&signed_in).await, None, "what has ended stays so");
        let lines = rig.lines();
        for line in
            ["user_updated:root,admin,disabled", "session_expired:admin,disabled (1 sessions)"]
        {
            assert!(lines.contains(line), "{line} in\n{lines}");
        }
        for nobody in [login.disable_user("a", "b").await, login.enable_user("a", "b").await] {
            assert!(matches!(nobody, Err(Refusal::NoSuchUser)));
        }
    });
}
