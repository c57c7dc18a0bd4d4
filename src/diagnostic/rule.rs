//! The table of everything that can be wrong with a configuration.
//!
//! A code never changes its meaning and is never used again. Every rule has at least one case in `tests/cases/config`, and a page in
//! `docs/diagnostics`.

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, and something in it is probably not what was meant.
    Warning,
}

/// Which look at the configuration finds something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass {
    /// At one file by itself: is it YAML, and of the grammar? A JSON Schema says the same, up to what such a schema cannot say.
    Shape,
    /// At all of it: other files, the environment, descriptors, and what it comes to.
    Meaning,
}

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $severity:ident;)+) => {
        /// One thing that can be wrong.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Rule { $($(#[doc = $doc])+ $name,)+ }

        impl Rule {
            /// Every rule, in the order of the codes.
            pub const ALL: &[Rule] = &[$(Rule::$name,)+];

            /// The stable code, `PG001`.
            pub fn code(self) -> &'static str {
                match self { $(Rule::$name => $code,)+ }
            }

            pub fn severity(self) -> Severity {
                match self { $(Rule::$name => Severity::$severity,)+ }
            }

            /// What the rule is about, in one sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Rule::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// What it means and why it matters, an example that is wrong and one that is right, and what to do: Markdown.
            pub fn page(self) -> &'static str {
                match self { $(Rule::$name => include_str!(concat!("../../docs/diagnostics/", $code, ".md")),)+ }
            }
        }
    };
}

rules! {
    // The file as text.
    /// A file cannot be read.
    Unreadable = "PG001", Error;
    /// The text is not YAML.
    Syntax = "PG002", Error;
    /// YAML that this language does without: tags, merge keys, a second document, aliases or depth without bound.
    RefusedYaml = "PG003", Error;
    /// The same key stands twice in one map.
    DuplicateKey = "PG004", Error;
    /// A key that this section does not have.
    UnknownKey = "PG005", Error;
    /// A value of the wrong kind, such as a list where a map belongs.
    WrongType = "PG006", Error;
    /// A value of the right kind that does not mean anything here.
    BadValue = "PG007", Error;
    /// A word that older YAML reads as true or false.
    AmbiguousWord = "PG008", Error;
    /// A key that must be there is not.
    MissingKey = "PG009", Error;
    /// The file is of a version this program does not speak.
    Version = "PG010", Error;
    /// An include that cannot be followed.
    Include = "PG011", Error;
    /// An overlay that changes what it may not, or nothing at all.
    Overlay = "PG012", Error;
    /// A variable that is not declared, not set, or not of its type.
    Variable = "PG013", Error;
    /// A list over a lower layer that does not say whether it appends or replaces.
    ListEdit = "PG014", Error;

    // Names and numbers.
    /// A protocol number is declared twice.
    DuplicateNumber = "PG020", Error;
    /// A name is declared twice.
    DuplicateName = "PG021", Error;
    /// A protocol number outside its group's range, or in the gateway's own.
    NumberRange = "PG022", Error;
    /// A route names a backend that does not exist.
    UnknownBackend = "PG023", Error;
    /// A route names a rate limit that does not exist.
    UnknownLimit = "PG024", Error;
    /// A role inherits from one that does not exist, or from itself.
    RoleInheritance = "PG025", Error;
    /// A backend names a built-in service that does not exist.
    UnknownBuiltin = "PG026", Error;
    /// A route names a topic that no pattern takes.
    UnknownTopic = "PG027", Error;
    /// Two patterns could mean the same topic.
    TopicConflict = "PG028", Error;
    /// A number that is no push, or none of the topic's.
    UnknownPush = "PG029", Error;

    // Descriptors and methods.
    /// A .proto file does not compile.
    ProtoSource = "PG030", Error;
    /// A descriptor set cannot be read.
    DescriptorSet = "PG031", Error;
    /// Two descriptor sources define the same name differently.
    DescriptorConflict = "PG032", Error;
    /// A descriptor uses protobuf Editions, which the descriptor library refuses.
    Editions = "PG033", Error;
    /// The method that a route calls does not exist.
    UnknownMethod = "PG034", Error;
    /// A message type that does not exist.
    UnknownMessage = "PG035", Error;
    /// The stated request type is not the method's.
    RequestType = "PG036", Error;
    /// The stated response type is not the method's.
    ResponseType = "PG037", Error;
    /// A lock of descriptors that `protogate lock` has not written yet.
    MissingLock = "PG039", Error;
    /// A field path that names no field.
    FieldPath = "PG040", Error;
    /// A field path whose field cannot serve for this.
    FieldType = "PG041", Error;
    /// A stamp on a field that cannot be stamped, or from a value that does not exist.
    Stamp = "PG042", Error;
    /// A rule of `buf.validate` that cannot be enforced.
    ValidationRule = "PG043", Error;

    // Policy.
    /// A byte bound that does not fit into the one around it.
    Bounds = "PG050", Error;
    /// Something production requires is missing.
    Production = "PG051", Error;
    /// A development shortcut on an address that others can reach.
    Exposed = "PG052", Error;
    /// A certificate or key that cannot be used for TLS.
    TlsFile = "PG053", Error;
    /// A key or secret that cannot verify tokens.
    TokenKey = "PG054", Error;
    /// A metadata key that a client must not set.
    ReservedMetadata = "PG055", Error;
    /// A rate limit that can never pass, or a key that has no value there.
    LimitKey = "PG056", Error;
    /// A change to the fixed part of the process.
    NeedsRestart = "PG057", Error;
    /// A retry of what cannot be repeated.
    RetryImpossible = "PG058", Error;
    /// A header for a collector of spans that cannot be sent.
    CollectorHeader = "PG059", Error;
    /// A drain that takes longer than whoever asked for it waits.
    DrainTime = "PG061", Error;
    /// A key that means nothing for a streaming method, or nothing for one that is none.
    StreamKey = "PG066", Error;
    /// A guard whose method does not take a question and answer with a decision.
    Guard = "PG070", Error;

    // What clients do not survive: a reload is refused, unless it may break them.
    /// A route that clients call is gone, or has another number.
    RouteGone = "PG120", Error;
    /// A route streams otherwise than before, answers no longer, or may no longer be repeated.
    RouteSpeaks = "PG121", Error;
    /// A message is no longer read as clients write it, or no longer written as they read it.
    MessageBroken = "PG122", Error;
    /// A push is gone, or has another number.
    PushGone = "PG123", Error;
    /// Clients would have to connect at another path.
    DoorMoved = "PG124", Error;
    /// A topic that clients may ask for is gone.
    TopicGone = "PG125", Error;

    // Tests of routes.
    /// A test of routes names what does not exist.
    TestName = "PG150", Error;
    /// A message in a test of routes is not of its type.
    TestMessage = "PG151", Error;
    /// A step of a test of routes that cannot be taken.
    TestStep = "PG152", Error;
    /// What happens is not what a test of routes expects.
    TestFailed = "PG153", Error;

    // Lints.
    /// Something is declared and never used.
    Unused = "PG080", Warning;
    /// A route for anonymous clients without any rate limit.
    UnlimitedAnonymous = "PG081", Warning;
    /// A permission that no role grants, so that nobody can call the route.
    UnreachableRoute = "PG082", Warning;
    /// A secret that stands in the file itself.
    SecretInFile = "PG083", Warning;
    /// A route without `hash` to a backend whose endpoints are chosen by one.
    Unkeyed = "PG084", Warning;
    /// A certificate outside its dates, which peers will refuse.
    CertificateDates = "PG085", Warning;
    /// An `allow` without a reason, or of what cannot be allowed.
    BadAllow = "PG086", Error;
    /// An `allow` that silences nothing.
    IdleAllow = "PG087", Warning;
    /// A choice of calls to trace where spans are exported nowhere.
    TracedNowhere = "PG088", Warning;
    /// A grant or a denial that covers nothing, and is nearly a permission that something needs.
    IdleGrant = "PG089", Warning;
    /// A route without any rate limit beside others that have one.
    Unlimited = "PG090", Warning;
    /// A time that another one keeps from ever being reached.
    TimesDoNotNest = "PG091", Warning;
    /// A method or a field that its .proto file calls deprecated.
    Deprecated = "PG092", Warning;
    /// Calls in clear text to an address of the open network.
    ClearText = "PG093", Warning;
    /// A rate limit whose buckets an anonymous caller chooses.
    ChosenKey = "PG094", Warning;
    /// A breaker that may leave every endpoint alone at once.
    EjectsAll = "PG095", Warning;
    /// Forgotten passwords are routed, and no mail can be sent.
    NoMail = "PG096", Warning;
    /// A route for anonymous clients that needs what they may not do.
    ClosedAnonymous = "PG097", Warning;
    /// The same item stands twice in one list.
    ListedTwice = "PG098", Warning;
    /// A role that lets nobody do anything and forbids nothing.
    EmptyRole = "PG099", Warning;
    /// An overlay that changes nothing.
    IdleOverlay = "PG100", Warning;
    /// A role that somebody is given and nobody declares.
    UnknownRole = "PG101", Warning;
}

// === impl Rule ===

impl Rule {
    /// The rule of a code, `PG001`.
    pub fn of_code(code: &str) -> Option<Rule> {
        Rule::ALL.iter().copied().find(|rule| rule.code() == code)
    }

    /// The first look that can find it. Some of [`Pass::Shape`] are found by the second look as well, where it takes more to know.
    pub fn pass(self) -> Pass {
        match self {
            Rule::Syntax
            | Rule::RefusedYaml
            | Rule::DuplicateKey
            | Rule::UnknownKey
            | Rule::WrongType
            | Rule::BadValue
            | Rule::AmbiguousWord
            | Rule::MissingKey
            | Rule::Version
            | Rule::ListEdit
            | Rule::NumberRange
            | Rule::ReservedMetadata => Pass::Shape,
            _ => Pass::Meaning,
        }
    }
}

// === impl Pass ===

impl Pass {
    /// The word that the cases of a corpus are labelled with.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Shape => "shape",
            Pass::Meaning => "meaning",
        }
    }
}

// === impl Severity ===

impl Severity {
    /// The word in every format.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}
