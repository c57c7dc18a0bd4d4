//! Random things that three users do on two processes at once: whatever happens, what is stored of rooms agrees.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::*;
use crate::services::chat::listing::shelf_key;
use crate::services::chat::rooms::{self, Members, members_key, mine_key, room_key};
use crate::services::documents;

const USERS: [&str; 3] = ["alice", "bob", "carol"];

#[derive(Clone, Copy, Debug)]
enum Deed {
    Create { private: bool },
    Join(usize),
    Leave(usize),
    Say(usize),
}

fn deed() -> impl Strategy<Value = (usize, Deed)> {
    let deed = prop_oneof![
        1 => any::<bool>().prop_map(|private| Deed::Create { private }),
        3 => (0..4usize).prop_map(Deed::Join),
        3 => (0..4usize).prop_map(Deed::Leave),
        3 => (0..4usize).prop_map(Deed::Say),
    ];
    (0..USERS.len(), deed)
}

/// Does something, if there is the room to do it in. A room that was made; or the number of what was said, and where.
async fn done(world: &World, rooms: &[Room], (user, deed): (usize, Deed)) -> (Option<Room>, Option<(String, u64)>) {
    let user = USERS[user];
    let (Deed::Join(which) | Deed::Leave(which) | Deed::Say(which)) = deed else {
        let private = matches!(deed, Deed::Create { private: true });
        return (Some(world.try_create(user, "A room", private, &USERS).await.unwrap()), None);
    };
    let Some(room) = rooms.get(which) else { return (None, None) };
    let (answer, said) = match deed {
        Deed::Join(_) => (world.join(user, room).await.map(drop), None),
        Deed::Leave(_) => (world.leave(user, room).await, None),
        Deed::Create { .. } | Deed::Say(_) => {
            let answer = world.say(user, room, "hello").await;
            (answer.clone().map(drop), answer.ok().map(|number| (room.id.clone(), number)))
        }
    };
    let expected = ["NOT_A_MEMBER", "ROOM_CLOSED", "ROOM_NOT_FOUND", "TOO_MANY_MESSAGES"];
    assert!(answer.is_ok() || answer.as_ref().is_err_and(|reason| expected.contains(&reason.as_str())), "{answer:?}");
    (None, said)
}

async fn stored<T: DeserializeOwned>(world: &World, key: &Key) -> Option<T> {
    let read = documents::read(&world.store, key).await;
    read.unwrap_or_else(|_| panic!("`{}` cannot be read", key.as_str())).map(|read| read.value)
}

/// Everything that is stored of these rooms agrees with itself, and with what was said.
async fn agrees(world: &World, rooms: &[Room], said: &BTreeMap<String, BTreeSet<u64>>) {
    for room in rooms {
        let members: Option<Members> = stored(world, &members_key(&room.id)).await;
        let members = members.map(|members| members.members).unwrap_or_default();
        let now: Option<rooms::Room> = stored(world, &room_key(&room.id)).await;
        let lives = now.as_ref().is_some_and(|now| !now.ended);
        assert_eq!(lives, !members.is_empty(), "a room lives as long as it has members");
        for user in USERS {
            let mine: Vec<String> = stored(world, &mine_key(user)).await.unwrap_or_default();
            assert_eq!(mine.contains(&room.id), members.iter().any(|member| member == user), "{user}");
            assert_eq!(mine.iter().collect::<BTreeSet<_>>().len(), mine.len(), "nobody is anywhere twice");
        }
        let shelf: BTreeSet<String> = stored(world, &shelf_key(&room.id[..1])).await.unwrap_or_default();
        assert_eq!(shelf.contains(&room.id), lives && !room.private, "a public room is listed while it lives");
        if let Some(now) = now.filter(|_| lives) {
            let numbers = said.get(&room.id).cloned().unwrap_or_default();
            assert_eq!(numbers, (1..=now.transcript.last).collect(), "every number was given once");
            assert_eq!(now.members, members.len());
            assert!(members.contains(&now.owner), "the owner is in the room");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whatever_three_users_do_at_once_what_is_stored_agrees(steps in proptest::collection::vec((deed(), deed()), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let one = World::new();
            let two = one.another();
            let (mut rooms, mut said) = (Vec::new(), BTreeMap::<String, BTreeSet<u64>>::new());
            for (a, b) in steps {
                one.clock.advance(Duration::from_millis(700));
                let (a, b) = tokio::join!(done(&one, &rooms, a), done(&two, &rooms, b));
                for (room, number) in [a, b] {
                    rooms.extend(room);
                    if let Some((room, number)) = number {
                        assert!(said.entry(room).or_default().insert(number), "{number} was given twice");
                    }
                }
                agrees(&one, &rooms, &said).await;
            }
        });
    }
}
