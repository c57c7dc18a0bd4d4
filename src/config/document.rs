//! The whole grammar of the configuration: every section, every key, what each means.
//!
//! This is the only list. The reader, the files in `schemas/` and the reference page are derived from it by `section!`
//! (see `grammar.rs`), and the first sentence over a key is what an editor shows. Promises: every field is optional here, no default is
//! applied, everything remembers where it stands, and a key marked `[required]` that is not there was reported.
//!
//! - `allow`: which warnings are not given
//! - `route`: what `defaults` and `routes` may say
//! - `backend`: what `backends` may say
//! - `gateway`: `gateway.yaml`
//! - `tracing`: which calls are traced, and where to, for both
//! - `trial`: tests of routes, which are no part of a configuration
//!
//! To add a key: write it here or there with its sentence, give it a value type from `value/`, and read it in `table/compile`.

mod allow;
mod backend;
mod gateway;
mod route;
mod tracing;
pub mod trial;

pub use allow::*;
pub use backend::*;
pub use gateway::*;
pub use route::*;
pub use tracing::*;

use super::grammar::{List, Map, WordOr, choice, section};
use super::value::{
    ByteSize, Duration, EnvName, FilePath, Join, LimitKey, MessageName, MessagePath, Name, NumberRange, PermissionPattern, ProtocolNumber,
    Rate, RouteName, ServiceName, TopicPattern, TypePattern, VarValue, Version,
};

choice! {
    /// How surely a push arrives.
    pub enum Delivery {
        /// At most once, to clients that are connected and have room.
        BestEffort = "best_effort",
        /// A session keeps it until its client has acknowledged it, or the session ends.
        Session = "session",
        /// The store keeps it until a client has acknowledged it, also for a user without a session.
        Durable = "durable",
    }
}

choice! {
    /// What becomes of a best-effort push for which a client has no room.
    pub enum SlowRule {
        /// The client is closed, and may come back.
        Disconnect = "disconnect",
        /// The oldest that waits is dropped, and the client told how many were.
        DropOldest = "drop_oldest",
    }
}

choice! {
    /// What an exhausted limit does.
    pub enum LimitMode {
        /// Refuses the call.
        Enforce = "enforce",
        /// Counts and logs what it would have refused.
        DryRun = "dry_run",
    }
}

choice! {
    /// The type of a variable.
    pub enum VarType {
        /// Any text.
        String = "string",
        /// A whole number.
        Integer = "integer",
        /// true or false.
        Bool = "bool",
    }
}

section! {
    /// `routes.yaml`: what the gateway routes, and by which rules. All of it is hot.
    pub struct MainFile {
        /// The version of the language: 1.
        version: Version [required],
        /// Other files of routes, relative to this one. Each is a group with its own `numbers` and `defaults`.
        include: List<FilePath>,
        ..routes: RoutesFile,
    }
}

section! {
    /// A file of routes: what `routes.yaml` and every file it includes may hold.
    pub struct RoutesFile {
        /// Variables from the environment, used as `${var.name}` in scalars.
        vars: Map<Name, Variable>,
        /// Where message types and methods come from.
        descriptors: List<Descriptor>,
        /// Named groups of endpoints.
        backends: Map<Name, Backend>,
        /// Who may do what.
        permissions: Permissions,
        /// Named rate limits.
        rate_limits: Map<Name, RateLimit>,
        /// The numbers that this file's routes may use, such as `1000..1999`.
        numbers: NumberRange,
        /// What a route of this file does where it says nothing itself.
        defaults: Policy,
        /// One entry a protocol number.
        routes: Map<ProtocolNumber, Route>,
        /// Messages that nobody asked for, one entry a protocol number that no route has.
        pushes: Map<ProtocolNumber, Push>,
        /// Sets of hearers, one entry a kind of names such as `room/{id}`. A topic that no entry declares does not exist.
        topics: Map<TopicPattern, Topic>,
    }
}

section! {
    /// A value from the environment.
    pub struct Variable {
        /// The environment variable.
        env: EnvName [required],
        /// Its type; `string` where nothing is said.
        type_: VarType = "type",
        /// The value when the environment variable is not set. Without one it must be set.
        default: VarValue,
        /// Hide the value everywhere.
        secret: bool,
    }
}

section! {
    /// One source of descriptors; give exactly one key.
    pub struct Descriptor {
        /// A folder of .proto files, compiled when the configuration is loaded.
        proto: FilePath,
        /// A FileDescriptorSet, as protoc and buf write it.
        set: FilePath,
        /// The backend that tells its descriptors by gRPC server reflection, to `protogate lock`; needs `lock`.
        reflection: Name,
        /// The file that `protogate lock` writes; nothing else is read when the configuration is loaded.
        lock: FilePath,
        /// The services that are locked, such as `game.v1.Game`; where nothing is said, all but reflection and health.
        services: List<ServiceName>,
        /// Types of this source that are needed although no route and no push leads to them, such as those that travel in a
        /// `google.protobuf.Any`: `game.v1.RoomFull`, or `game.v1.*` for all that begin so.
        types: List<TypePattern>,
        /// How often a running gateway compares the lock with what the backend tells; 5m where nothing is said.
        refresh: Duration,
    }
}

section! {
    /// Who may do what.
    pub struct Permissions {
        /// The roles that tokens may carry.
        roles: Map<Name, Role>,
    }
}

section! {
    /// One role.
    pub struct Role {
        /// What it may do: `*` stands for one segment, `**` for the rest.
        grant: List<PermissionPattern>,
        /// What it may not do, whatever grants it.
        deny: List<PermissionPattern>,
        /// Roles whose grants and denials it takes over.
        inherit: List<Name>,
        /// Warnings about it that are not given, each with a reason.
        allow: List<Allowed>,
    }
}

section! {
    /// A token bucket.
    pub struct RateLimit {
        /// What has a bucket of its own: `global`, `route`, `caller`, `user`, `session`, `peer.ip`, `connection`, `request.<field>`.
        key: List<LimitKey> [required],
        /// How fast it refills, such as `20/s` or `5/min`.
        rate: Rate [required],
        /// How much it holds.
        burst: u32,
        /// What happens when it is empty.
        mode: LimitMode,
        /// Warnings about it that are not given, each with a reason.
        allow: List<Allowed>,
    }
}

section! {
    /// Topics of one kind.
    pub struct Topic {
        /// Who may hear them: whoever has this permission and asks, or, with `effect`, whoever is subscribed by a route.
        join: Join [required],
        /// How much of what was said is kept for those who come back; where nothing is said, nothing.
        history: History,
        /// Know who is in them.
        presence: bool,
        /// The push, of type `protogate.push.v1.PresenceEvent`, by which hearers are told who comes and goes.
        presence_events: ProtocolNumber,
        /// The pushes that may be sent to them.
        pushes: List<ProtocolNumber> [required],
        /// Warnings about them that are not given, each with a reason.
        allow: List<Allowed>,
    }
}

section! {
    /// How much of a topic's history is kept. Whatever is reached first lets the oldest go.
    pub struct History {
        /// Messages; 256 where nothing is said.
        count: u32,
        /// Bytes of them; 256KiB where nothing is said.
        bytes: ByteSize,
        /// For how long, 5m where nothing is said; it may be half as long again.
        age: Duration,
    }
}

section! {
    /// A message that the gateway sends without being asked.
    pub struct Push {
        /// The name in logs and metrics, such as `game.event`.
        name: RouteName [required],
        /// Its type.
        message: MessageName [required],
        /// How surely it arrives; `session` where nothing is said.
        delivery: Delivery,
        /// What becomes of a best-effort push for which a client has no room: `disconnect`, `drop_oldest`, or `{ conflate: message.<field> }`.
        on_slow: WordOr<SlowRule, Conflate>,
    }
}

section! {
    /// Of what waits for a slow client, only the latest state of each thing stays.
    pub struct Conflate {
        /// The field that says what the state is of, such as `message.player_id`.
        conflate: MessagePath [required],
    }
}
