//! Forgotten passwords.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::services::mail::{MailSettings, Smtp, SmtpTls, Way};

const NEW: &str = "another horse";

fn with_mail() -> World {
    let world = World::new();
    let mail = MailSettings { from: "Game <game@example.com>".parse().unwrap(), way: Way::Outbox };
    world.settings.store(Arc::new(Settings { mail: Some(mail), ..Settings::default() }));
    world
}

async fn ask(world: &World, peer: &str, email: &str, code: &str, new_password: &str) -> Result<ForgotPasswordResponse, String> {
    let request = ForgotPasswordRequest { email: email.to_owned(), code: code.to_owned(), new_password: new_password.to_owned() };
    said(world.auth.forgot_password(from(peer, request)).await)
}

async fn request(world: &World, email: &str) {
    ask(world, "192.0.2.1", email, "", "").await.unwrap();
}

async fn confirm(world: &World, email: &str, code: &str) -> Result<ForgotPasswordResponse, String> {
    ask(world, "192.0.2.1", email, code, NEW).await
}

/// The mails in the outbox, once there are so many.
async fn mails(world: &World, count: usize) -> Vec<String> {
    let folder = world.outbox.path().join("outbox");
    tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let files: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().map(|file| file.unwrap().path()).collect();
            let mails: Vec<String> = files.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
            if mails.len() >= count && mails.iter().all(|mail| mail.contains("nothing changes")) {
                return mails;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the mails are sent")
}

/// Waits until a code is stored for an address.
async fn stored(world: &World, email: &str) {
    let key = Key::new("reset", email);
    tokio::time::timeout(Duration::from_secs(30), async {
        while world.store.get(&key).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("a code is made");
}

fn code(mail: &str) -> String {
    mail.lines().find_map(|line| line.strip_prefix("    ")).expect("the code stands on a line of its own").trim().to_owned()
}

#[tokio::test]
async fn a_code_from_the_mail_sets_a_new_password_and_ends_every_login() {
    let world = with_mail();
    let alice = world.register("alice").await;
    request(&world, "ALICE@example.com").await;
    let mail = mails(&world, 1).await.remove(0);
    assert!(mail.contains("To: alice@example.com") && mail.contains("From: Game <game@example.com>"), "{mail}");

    // As people type it.
    confirm(&world, "alice@example.com", &code(&mail).to_lowercase().replace('-', " ")).await.unwrap();
    assert_eq!(refused(world.login("alice", PASSWORD).await), "INVALID_CREDENTIALS");
    assert_eq!(refused(world.refresh(&alice.refresh_token).await), "INVALID_REFRESH_TOKEN");
    assert!(!world.is_believed(&alice.access_token).await);
    let again = world.login("alice", NEW).await.unwrap();
    assert!(world.is_believed(&again.access_token).await);
    assert_eq!(refused(confirm(&world, "alice@example.com", &code(&mail)).await), "INVALID_CODE", "a code is good once");
}

#[tokio::test]
async fn an_address_without_an_account_is_answered_alike_and_gets_no_mail() {
    let world = with_mail();
    world.register("alice").await;
    request(&world, "nobody@example.com").await;
    stored(&world, "nobody@example.com").await;
    for _ in 0..5 {
        assert_eq!(refused(confirm(&world, "nobody@example.com", "0000-0000-0000").await), "INVALID_CODE");
    }
    assert!(world.store.get(&Key::new("reset", "nobody@example.com")).await.unwrap().is_none(), "as a code of somebody's dies");
    request(&world, "alice@example.com").await;
    let mails = mails(&world, 1).await;
    assert!(mails.len() == 1 && mails[0].contains("alice@example.com"));
}

#[tokio::test]
async fn five_wrong_tries_kill_a_code_and_so_does_a_quarter_of_an_hour() {
    let world = with_mail();
    world.register("alice").await;
    request(&world, "alice@example.com").await;
    let right = code(&mails(&world, 1).await[0]);
    for _ in 0..5 {
        assert_eq!(refused(confirm(&world, "alice@example.com", "0000-0000-0000").await), "INVALID_CODE");
    }
    assert_eq!(refused(confirm(&world, "alice@example.com", &right).await), "INVALID_CODE");

    request(&world, "alice@example.com").await;
    let right = mails(&world, 2).await.iter().map(|mail| code(mail)).find(|code| *code != right).unwrap();
    for _ in 0..4 {
        assert_eq!(refused(confirm(&world, "alice@example.com", "").await), "INVALID_CODE");
    }
    world.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(refused(confirm(&world, "alice@example.com", &right).await), "INVALID_CODE");
    world.login("alice", PASSWORD).await.expect("the old password is still hers");
}

#[tokio::test]
async fn a_weak_password_spends_no_try() {
    let world = with_mail();
    world.register("alice-x-y-z").await;
    let email = "alice-x-y-z@example.com";
    request(&world, email).await;
    let right = code(&mails(&world, 1).await[0]);
    for weak in ["", "short", "password1", email, "Alice-X-Y-Z"] {
        for _ in 0..2 {
            assert_eq!(refused(ask(&world, "192.0.2.1", email, &right, weak).await), "WEAK_PASSWORD");
        }
    }
    confirm(&world, email, &right).await.unwrap();
}

#[tokio::test]
async fn so_many_mails_an_hour_and_no_more() {
    let world = with_mail();
    for email in ["alice@example.com", "nobody@example.com"] {
        for peer in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            ask(&world, peer, email, "", "").await.unwrap();
        }
        assert_eq!(refused(ask(&world, "192.0.2.4", email, "", "").await), "TOO_MANY_ATTEMPTS for 3600s");
    }
    for index in 0..20 {
        ask(&world, "192.0.2.9", &format!("{index}@example.com"), "", "").await.unwrap();
    }
    assert_eq!(refused(ask(&world, "192.0.2.9", "more@example.com", "", "").await), "TOO_MANY_ATTEMPTS for 3600s");
    world.clock.advance(Duration::from_secs(3600));
    ask(&world, "192.0.2.9", "alice@example.com", "", "").await.unwrap();
}

#[tokio::test]
async fn wrong_codes_count_for_the_address_they_come_from() {
    let world = with_mail();
    world.register("alice").await;
    for _ in 0..100 {
        assert_eq!(refused(confirm(&world, "alice@example.com", "0000-0000-0000").await), "INVALID_CODE");
    }
    assert_eq!(refused(confirm(&world, "alice@example.com", "0000-0000-0000").await), "TOO_MANY_ATTEMPTS for 900s");
    assert_eq!(refused(world.login("alice", PASSWORD).await), "TOO_MANY_ATTEMPTS for 900s");
}

#[tokio::test]
async fn without_mail_it_says_so() {
    let world = World::new();
    assert_eq!(refused(ask(&world, "192.0.2.1", "alice@example.com", "", "").await), "MAIL_NOT_CONFIGURED");
    world.settings.store(with_mail().settings.load());
    assert_eq!(refused(ask(&world, "192.0.2.1", "alice", "", "").await), "INVALID_EMAIL");
}

#[tokio::test]
async fn a_password_that_changes_during_a_login_leaves_no_login_of_the_old_one() {
    let world = with_mail();
    let alice = world.register("alice").await.user.unwrap();
    request(&world, "alice@example.com").await;
    let right = code(&mails(&world, 1).await[0]);
    // Whichever comes first, nothing that began with the old password is good in the end.
    let logins = join_all((0..8).map(|_| world.login("alice", PASSWORD)));
    let (logins, confirmed) = tokio::join!(logins, confirm(&world, "alice@example.com", &right));
    confirmed.unwrap();
    for login in logins.into_iter().flatten() {
        assert!(!world.is_believed(&login.access_token).await);
        assert_eq!(refused(world.refresh(&login.refresh_token).await), "INVALID_REFRESH_TOKEN");
    }
    assert_eq!(world.info(&alice.user_id).await.unwrap(), Some(alice));
}

/// A mail server that takes one mail after it has refused so many; what it was told.
async fn mail_server(listener: TcpListener, refusals: usize) -> String {
    for turn in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let (mut told, mut line, mut in_data) = (String::new(), String::new(), false);
        stream.write_all(b"220 here\r\n").await.unwrap();
        while stream.read_line(&mut line).await.is_ok_and(|length| length > 0) {
            told += &line;
            let answer: &[u8] = match line.trim_end() {
                "." => return told,
                _ if in_data => b"",
                hello if hello.starts_with("EHLO") => b"250-here\r\n250 AUTH PLAIN\r\n",
                _ if turn < refusals => b"451 not now\r\n",
                "DATA" => {
                    in_data = true;
                    b"354 go on\r\n"
                }
                quit if quit.starts_with("QUIT") => break,
                _ => b"250 fine\r\n",
            };
            stream.write_all(answer).await.unwrap();
            line.clear();
        }
    }
    unreachable!("a mail comes or the test's patience ends")
}

#[tokio::test]
async fn a_code_goes_to_the_mail_server_again_if_it_must() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let login = Some(("game".to_owned(), "correct horse".to_owned()));
    let way = Way::Smtp(Smtp { host: "127.0.0.1".to_owned(), port, login, tls: SmtpTls::None });
    let mail = MailSettings { from: "Game <game@example.com>".parse().unwrap(), way };
    world.settings.store(Arc::new(Settings { mail: Some(mail), ..Settings::default() }));
    world.register("alice").await;
    let told = tokio::spawn(mail_server(listener, 1));
    request(&world, "alice@example.com").await;
    let told = tokio::time::timeout(Duration::from_secs(30), told).await.expect("in time").unwrap();
    for line in ["AUTH PLAIN ", "MAIL FROM:<game@example.com>", "RCPT TO:<alice@example.com>", "Subject: Your code for a new password"] {
        assert!(told.lines().any(|told| told.starts_with(line)), "no `{line}` in\n{told}");
    }
    confirm(&world, "alice@example.com", &code(&told)).await.unwrap();
}
