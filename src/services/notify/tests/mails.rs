//! Notifications by mail.

use super::*;

fn by_mail(users: &[&str]) -> SendRequest {
    SendRequest { channels: vec![Channel::Mail.into()], ..literal("hello", users) }
}

/// The mails that were sent, by the address they were sent to.
fn mails(world: &World) -> Vec<String> {
    let files = std::fs::read_dir(&world.context.outbox).into_iter().flatten();
    let paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "eml")).collect();
    let mut mails: Vec<String> = paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    mails.sort_by_key(|mail| to(mail).to_owned());
    mails
}

fn to(mail: &str) -> &str {
    mail.lines().find_map(|line| line.strip_prefix("To: ")).expect("a mail is for somebody")
}

#[tokio::test]
async fn mail_goes_where_the_sender_or_the_account_says_and_others_are_skipped() {
    let world = World::with_mail();
    world.register("alice", "alice@example.com").await;
    world.register("bob", "bob@example.com").await;
    world.register("disabled", "disabled@example.com").await;
    let mut request = by_mail(&["alice", "bob", "disabled", "nobody", "carol"]);
    request.recipients[1].email = "bob@elsewhere.example".to_owned();
    request.recipients[4].email = "carol@elsewhere.example".to_owned();
    let batch = world.tell(request).await;
    assert_eq!((batch.state(), batch.total, batch.sent, batch.failed, batch.skipped), (BatchState::Done, 5, 3, 0, 2));
    let mails = mails(&world);
    assert_eq!(
        mails.iter().map(|mail| to(mail)).collect::<Vec<_>>(),
        ["alice@example.com", "bob@elsewhere.example", "carol@elsewhere.example"]
    );
    assert!(mails[0].contains("Subject: hello\r\n") && mails[0].contains("hello, in more words"), "{}", mails[0]);
    assert!(mails[0].contains(&format!("Message-ID: <{}.", batch.batch_id)), "{}", mails[0]);
    assert!(world.pushed().is_empty() && world.titles("alice").await.is_empty(), "mail alone was asked for");
}

#[tokio::test]
async fn whoever_can_be_told_in_one_way_of_two_is_told() {
    let world = World::with_mail();
    world.register("alice", "alice@example.com").await;
    let channels = vec![Channel::InApp.into(), Channel::Mail.into()];
    let batch = world.tell(SendRequest { channels, ..by_mail(&["alice", "nobody"]) }).await;
    assert_eq!((batch.sent, batch.skipped), (2, 0));
    assert_eq!((mails(&world).len(), world.titles("nobody").await.len()), (1, 1));
}

#[tokio::test]
async fn no_history_waits_for_a_mail() {
    let world = World::with_mail();
    let mut request = SendRequest { channels: vec![Channel::InApp.into(), Channel::Mail.into()], ..to_many(102) };
    for recipient in &mut request.recipients {
        recipient.email = format!("user-{}@example.com", recipient.user_id);
    }
    let id = world.send(request).await.unwrap();
    for _ in 0..2 {
        world.work_once().await;
    }
    assert_eq!((world.titles("101").await.len(), world.pushed().len(), mails(&world).len(), world.batch(&id).await.sent), (1, 2, 0, 0));
    world.work_once().await;
    assert_eq!((mails(&world).len(), world.batch(&id).await.sent), (4, 4), "who is told in every way is counted");
    world.work().await;
    assert_eq!((mails(&world).len(), world.batch(&id).await.sent, world.pushed().len()), (102, 102, 0));
}

#[tokio::test]
async fn values_are_escaped_in_html_and_cannot_be_headers() {
    let world = World::with_mail();
    world.register("alice", "alice@example.com").await;
    let mut welcome = template("Hello {{ name }}", "Dear {{ name }}", &[("name", ParameterType::String, true)]);
    welcome.words.get_mut("en").unwrap().html = "<p>Dear {{ name }}</p>".to_owned();
    world.define(welcome).await.unwrap();
    let name = "<b>\r\nBcc: eve@example.com";
    world.tell(SendRequest { channels: vec![Channel::Mail.into()], ..filled("welcome", &[("name", name)], &["alice"]) }).await;
    let mail = mails(&world).remove(0);
    assert!(mail.contains("<p>Dear &lt;b&gt;") && mail.contains("Dear <b>"), "{mail}");
    let head = mail.split("\r\n\r\n").next().unwrap();
    assert!(head.contains("multipart/alternative") && !head.contains("\nBcc:"), "{mail}");
}

/// Pauses take no time here.
#[tokio::test(start_paused = true)]
async fn a_mail_that_cannot_be_sent_is_tried_again_and_then_counted() {
    let world = World::with_mail();
    world.register("alice", "alice@example.com").await;
    // No folder can be made where a file is.
    std::fs::write(&world.context.outbox, "").unwrap();
    let began = tokio::time::Instant::now();
    let batch = world.tell(by_mail(&["alice"])).await;
    assert_eq!((batch.state(), batch.sent, batch.failed), (BatchState::Done, 0, 1));
    assert_eq!((batch.errors[0].user_id.as_str(), batch.errors[0].channel()), ("alice", Channel::Mail));
    assert!(!batch.errors[0].message.contains("alice@example.com"), "an address is nobody's business");
    assert_eq!(began.elapsed().as_secs(), 12, "after both pauses");
    assert!(world.folder.path().join("outbox").is_file());
}

#[tokio::test]
async fn where_no_mail_is_sent_nobody_is_promised_one() {
    let world = World::new();
    assert_eq!(refused(world.send(by_mail(&["alice"])).await), "MAIL_NOT_CONFIGURED");
    assert_eq!(world.work_once().await, Work::Nothing);

    let world = World::with_mail();
    world.register("alice", "alice@example.com").await;
    let id = world.send(by_mail(&["alice"])).await.unwrap();
    world.context.accounts.store(Arc::new(Settings::default()));
    world.work().await;
    assert_eq!(world.batch(&id).await.failed, 1, "it was configured away meanwhile");
}
