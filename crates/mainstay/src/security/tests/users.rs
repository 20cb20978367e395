//! Users, their passwords, and what of them is written down.

use super::*;

#[test]
fn a_new_password_ends_all_other_sessions_and_goes_on_in_this_one() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let other = login.with_admin().await;
        let own = login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        let session = login.of_cookie(&own, &from(HOME)).await.unwrap();
        let (context, good, new) = (from(HOME), GOOD.into(), Password::from(OTHER));
        rig.lines();
        let change = async |old: &Password, new: &Password| {
            login.change_password(&context, &session, old, new).await
        };
        assert!(matches!(change(&good, &"short".into()).await, Err(Refusal::Weak(_))));
        assert!(matches!(change(&good, &"admin".into()).await, Err(Refusal::Weak(_))));
        is_wrong(&change(&new, &new).await);
        assert!(rig.lines().contains("authn_password_change_fail:admin (wrong password)"));
        let renewed = change(&good, &new).await.unwrap();
        for ended in [&other, &own] {
            assert_eq!(login.user(ended).await, None);
        }
        assert!(login.user(&renewed).await.is_some());
        is_wrong(&change(&new, &good).await);
        let lines = rig.lines();
        for line in [
            "authn_password_change:admin (by the user)",
            "session_renewed:admin (password-change)",
            "session_expired:admin,password-change (1 sessions)",
        ] {
            assert!(lines.contains(line), "{line} in\n{lines}");
        }
        is_wrong(&login.sign_in(&from(HOME), "admin", &good).await);
        login.sign_in(&from(HOME), "admin", &new).await.unwrap();
    });
}

#[test]
fn users_are_added_once_and_changed_by_name() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let admin = login.with_admin().await;
        login.add_user("admin", "bob", "user").await.unwrap();
        let refused = async |name, role| login.add_user("a", name, role).await.unwrap_err();
        assert!(matches!(refused("Bob", "user").await, Refusal::NameTaken));
        assert!(matches!(refused("b b", "user").await, Refusal::BadName(_)));
        assert!(matches!(refused("carol", "").await, Refusal::BadName(_)));
        login.set_role("root", "admin", "user").await.unwrap();
        assert_eq!(login.user(&admin).await, None, "rights have changed");
        login.set_password("root", "bob", &OTHER.into()).await.unwrap();
        login.sign_in(&from(HOME), "bob", &OTHER.into()).await.unwrap();
        let users = login.users().await.unwrap();
        let names: Vec<_> = users.iter().map(|it| (it.name.as_str(), it.role.as_str())).collect();
        assert_eq!(names, [("admin", "user"), ("bob", "user")]);
        assert!(rig.lines().contains("authz_change:admin,admin,user (by root)"));
    });
}

#[test]
fn a_hash_of_other_times_is_made_anew_when_its_user_signs_in() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        // Of GOOD, with the salt "saltsaltsaltsalt", 64 KiB and one pass.
        let mut out = [0; 32];
        let params = argon2::Params::new(64, 1, 1, Some(32)).unwrap();
        let kind = argon2::Algorithm::Argon2id;
        argon2::Argon2::new(kind, argon2::Version::V0x13, params)
            .hash_password_into(GOOD.as_bytes(), b"saltsaltsaltsalt", &mut out)
            .unwrap();
        use base64ct::{Base64Unpadded, Encoding};
        let [salt, out] = [&b"saltsaltsaltsalt"[..], &out].map(Base64Unpadded::encode_string);
        let old = format!("$argon2id$v=19$m=64,t=1,p=1${salt}${out}");
        let update = login.pool().sql("UPDATE mainstay_users SET password = ?");
        sqlx::query(update).bind(&old).execute(login.pool()).await.unwrap();
        let before = login.inner.hashers.computed();
        login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        assert_eq!(login.inner.hashers.computed(), before + 2);
        login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        assert_eq!(login.inner.hashers.computed(), before + 3);
    });
}

#[test]
fn old_rows_are_swept_when_somebody_signs_in() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        login.with_admin().await;
        login.tries(AWAY, "bob", 1).await;
        login.pass(9 * 24 * 60 * MINUTE);
        login.sign_in(&from(HOME), "admin", &GOOD.into()).await.unwrap();
        for (table, left) in [("sessions", 1), ("links", 0), ("throttle", 2)] {
            let count = format!("SELECT COUNT(*) FROM mainstay_{table}");
            let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
                .fetch_one(login.pool())
                .await
                .unwrap();
            assert_eq!(count, left, "{table}");
        }
    });
}

#[test]
fn nothing_secret_is_in_the_log_or_in_what_debugging_shows() {
    run(async |rig| {
        let login = rig.open(patient()).await;
        let link = login.first_link().await.unwrap().unwrap();
        let admin = login.redeem(&from(HOME), link.token(), Some("admin"), &GOOD.into()).await;
        let admin = admin.unwrap();
        let session = login.of_cookie(&admin, &from(HOME)).await.unwrap();
        is_wrong(&login.sign_in(&from(HOME), OTHER, &GOOD.into()).await);
        let again = login.redeem(&from(HOME), link.token(), Some("x"), &GOOD.into()).await;
        let shown = format!(
            "{login:?} {link:?} {admin:?} {session:?} {again:?} {:?} {:?}",
            Password::from(GOOD),
            login.first_link().await
        );
        let id =
            cookies(&admin)[COOKIE].to_str().unwrap().trim_start_matches("session=").to_owned();
        let lines = rig.lines();
        let hash: String = sqlx::query_scalar("SELECT password FROM mainstay_users")
            .fetch_one(login.pool())
            .await
            .unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(id.len(), 43);
        for secret in [GOOD, OTHER, link.token(), &id, &hash, session.id()] {
            assert!(!lines.contains(secret) && !shown.contains(secret), "{shown}\n{lines}");
        }
    });
}
