//! `*.test.yaml`: tests of routes. They are no part of the configuration: nothing but `protogate test` reads them.

use super::super::grammar::{List, Map, Several, WordOr, choice, section};
use super::super::value::{
    Called, Duration, EndpointUrl, FailureCode, Json, MethodName, Name, PeerIp, PermissionName, ProtocolNumber, Text, Version,
};

choice! {
    /// How a call ends.
    pub enum Outcome {
        /// It succeeds.
        Ok = "ok",
        /// The caller, or a guard, lacks the permission.
        Denied = "denied",
        /// The route needs a session and the caller has none.
        Unauthenticated = "unauthenticated",
        /// A rate limit refuses it.
        Limited = "limited",
        /// The message is not of its type, or breaks its rules.
        Invalid = "invalid",
        /// The message is larger than the route takes.
        TooLarge = "too_large",
        /// It fails for another reason: the service says so, or cannot be asked.
        Failed = "failed",
    }
}

section! {
    /// A file of tests of routes. The production code runs; the test names the clock, and what services answer.
    pub struct TestFile {
        /// The version of the language: 1.
        version: Version [required],
        /// The endpoints of backends that find theirs while the gateway runs, by the names of the backends.
        endpoints: Map<Name, List<EndpointUrl>>,
        /// Each begins with a gateway of its own: full limits, nobody there.
        tests: List<Test> [required],
    }
}

section! {
    /// One test: what a client does, and what should come of it.
    pub struct Test {
        /// A sentence that says what holds.
        name: Text [required],
        /// Who the client is; where nothing is said, nobody.
        session: TestSession,
        /// What happens, one after the other.
        steps: List<TestStep> [required],
    }
}

section! {
    /// Who a client is.
    pub struct TestSession {
        /// The user; without one the client is anonymous.
        user: Text,
        /// The roles that its token names.
        roles: List<Name>,
        /// The id of its token; `test-token` where nothing is said.
        token_id: Text,
        /// The client's address; 127.0.0.1 where nothing is said.
        peer: PeerIp,
    }
}

section! {
    /// Something that happens: a `call`, a `push`, or a `wait`.
    pub struct TestStep {
        /// The client calls this route, by its number or its name.
        call: Called,
        /// A service pushes a message of this number, to a `topic` or a `user`.
        push: ProtocolNumber,
        /// Time goes by. It costs none.
        wait: Duration,
        /// How often it calls; every time has to end as expected.
        times: u32,
        /// How much time goes by before each further call.
        every: Duration,
        /// What the client sends, by the names of the fields.
        request: Json,
        /// The same as bytes in base64, also such as no client of ours would send.
        request_base64: Text,
        /// Metadata that the client sends.
        metadata: Map<Text, Text>,
        /// The key by which the service knows a call that is repeated.
        idempotency_key: Text,
        /// How long the client is ready to wait.
        deadline: Duration,
        /// What the service answers, or several answers, one for each attempt; an empty reply where nothing is said.
        mock: Several<Mock>,
        /// What the route's guards answer, in their order; they allow it where nothing is said.
        guards: List<MockGuard>,
        /// The topic that a push is for.
        topic: Text,
        /// The user that a push is for.
        user: Text,
        /// What is pushed.
        message: Json,
        /// What comes of it: a word, or more. `ok` where nothing is said.
        expect: WordOr<Outcome, Expect>,
    }
}

section! {
    /// An answer of a service.
    pub struct Mock {
        /// A reply, by the names of its fields. `"${token}"` in it is a token that the gateway believes; see `token`.
        reply: Json,
        /// A reply as bytes in base64.
        reply_base64: Text,
        /// Whom `${token}` in the reply names.
        token: MockToken,
        /// The service fails with this code.
        code: FailureCode,
        /// What it says about that.
        message: Text,
        /// Its reason, for programs.
        reason: Text,
        /// When the client may ask again.
        retry_after: Duration,
        /// It never answers: the call runs into its deadline, which is then 50 ms.
        late: bool,
    }
}

section! {
    /// A token in a reply.
    pub struct MockToken {
        /// The user.
        user: Text [required],
        /// The roles.
        roles: List<Name>,
    }
}

section! {
    /// An answer of a guard.
    pub struct MockGuard {
        /// Whether the call may happen.
        allow: bool,
        /// The code of its refusal.
        code: FailureCode,
        /// Its reason, for programs.
        reason: Text,
        /// What it says about that.
        message: Text,
        /// Metadata that it sets for the service.
        metadata: Map<Text, Text>,
        /// It fails with this code instead of deciding.
        fails: FailureCode,
        /// It never answers.
        late: bool,
    }
}

section! {
    /// What should come of a step. Only what is said is looked at.
    pub struct Expect {
        /// How the call ends; `ok` where nothing is said about a failure.
        outcome: Outcome,
        /// The code of the failure.
        code: FailureCode,
        /// The reason of the failure, such as `RATE_LIMITED`.
        reason: Text,
        /// Words in the message of the failure.
        message: Text,
        /// The permission that is missing.
        permission: PermissionName,
        /// The limit that refuses the call.
        limit: Name,
        /// How long the client is told to wait.
        retry_after: Duration,
        /// The fields that break rules; all of them.
        violations: List<Text>,
        /// The method that is called.
        rpc: MethodName,
        /// The backend that is called.
        backend: Name,
        /// The endpoint that answers: `host:port`, or the name of a service of this process.
        endpoint: Text,
        /// How often the service is asked; 0: not at all.
        attempts: u32,
        /// What the service is sent, or part of it.
        sent: Json,
        /// Metadata that the service is sent, or part of it.
        metadata: Map<Text, Text>,
        /// What the client gets, or part of it.
        reply: Json,
        /// The session that the client is in from then on.
        bound: Bound,
        /// Whether the client leaves its session.
        unbound: bool,
        /// The topics that the client hears from then on; all of them.
        subscribed: List<Text>,
        /// The topics that it hears no more; all of them.
        unsubscribed: List<Text>,
        /// What the call has sent to others; all of it.
        published: List<Published>,
        /// What the client hears meanwhile that it did not ask for; all of it.
        heard: List<Published>,
    }
}

section! {
    /// A session.
    pub struct Bound {
        /// The user.
        user: Text,
        /// The roles; all of them.
        roles: List<Name>,
        /// How long it lasts.
        ttl: Duration,
    }
}

section! {
    /// A message that nobody asked for.
    pub struct Published {
        /// Its number.
        number: ProtocolNumber [required],
        /// The topic that it is sent to.
        topic: Text,
        /// What it says, or part of it.
        message: Json,
    }
}
