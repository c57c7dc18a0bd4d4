//! Reads what `/metrics` answers as strictly as OpenMetrics 1.0 is written, and panics at whatever is not so.

use std::collections::{BTreeMap, BTreeSet};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::TestGateway;

/// A metric with all its samples.
#[derive(Debug)]
pub struct Family {
    pub kind: String,
    pub unit: String,
    pub help: String,
    /// By name and labels, as they are written: `name{a="b"}`.
    pub samples: BTreeMap<String, f64>,
    /// The labels of each sample, without `le`.
    pub labels: BTreeSet<Vec<String>>,
}

/// All that one answer says, by the name of the family.
pub type Families = BTreeMap<String, Family>;

/// Head and body of what `/metrics` answers to these headers.
pub async fn get(gateway: &TestGateway, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(gateway.admin()).await.unwrap();
    let head = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

/// The header that lets an operator in.
pub fn bearer(gateway: &TestGateway) -> String {
    format!("authorization: Bearer {}\r\n", gateway.admin_token())
}

/// What there is now.
pub async fn scrape(gateway: &TestGateway) -> Families {
    let (head, body) = get(gateway, &bearer(gateway)).await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    parse(&body)
}

/// The families of a whole answer.
pub fn parse(text: &str) -> Families {
    let body = text.strip_suffix("# EOF\n").expect("it ends with EOF");
    let mut families = Families::new();
    let mut current = String::new();
    for line in body.lines() {
        let Some(meta) = line.strip_prefix("# ") else {
            families.get_mut(&current).unwrap_or_else(|| panic!("a sample of nothing: {line}")).add(&current, line);
            continue;
        };
        let (what, rest) = meta.split_once(' ').unwrap();
        let (name, value) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(name), "{line}");
        if what == "HELP" {
            let family = Family {
                kind: String::new(),
                unit: String::new(),
                help: value.to_owned(),
                samples: BTreeMap::new(),
                labels: BTreeSet::new(),
            };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} is there twice");
            current = name.to_owned();
        }
        assert_eq!(name, current, "what belongs together stands together: {line}");
        let family = families.get_mut(name).unwrap();
        match what {
            "HELP" => {}
            "TYPE" => {
                assert!(["counter", "gauge", "histogram", "info"].contains(&value) && family.kind.is_empty(), "{line}");
                family.kind = value.to_owned();
            }
            "UNIT" => {
                assert!(name.ends_with(&format!("_{value}")), "{line}");
                family.unit = value.to_owned();
            }
            _ => panic!("{line}"),
        }
    }
    families.iter().filter(|(_, family)| family.kind == "histogram").for_each(|(name, family)| family.check_buckets(name));
    families
}

/// What one sample says, by its name and labels; 0 if it is not there.
pub fn value(families: &Families, sample: &str) -> f64 {
    families.values().find_map(|family| family.samples.get(sample)).copied().unwrap_or(0.0)
}

/// The names of all samples with their labels.
pub fn series(families: &Families) -> BTreeSet<String> {
    families.values().flat_map(|family| family.samples.keys().cloned()).collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

// === impl Family ===

impl Family {
    fn add(&mut self, name: &str, line: &str) {
        let (sample, number) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let value: f64 = number.parse().unwrap_or_else(|_| panic!("{line}"));
        let (full, labels) = match sample.split_once('{') {
            None => (sample, Vec::new()),
            Some((full, rest)) => (full, labels(rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}")))),
        };
        let suffix = full.strip_prefix(name).unwrap_or_else(|| panic!("{line} is not of {name}"));
        let allowed: &[&str] = match &*self.kind {
            "counter" => &["_total"],
            "histogram" => &["_sum", "_count", "_bucket"],
            "info" => &["_info"],
            _ => &[""],
        };
        assert!(allowed.contains(&suffix), "{line}");
        assert!(self.kind == "gauge" || value >= 0.0, "{line}");
        let has_bound = labels.iter().any(|label| label == "le");
        assert_eq!(has_bound, suffix == "_bucket", "{line}");
        self.labels.insert(labels.into_iter().filter(|label| label != "le").collect());
        assert!(self.samples.insert(sample.to_owned(), value).is_none(), "{line} is there twice");
    }

    /// Buckets grow up to the count.
    fn check_buckets(&self, name: &str) {
        let of = |suffix: &str| format!("{name}_{suffix}");
        let counts = self.samples.iter().filter(|(sample, _)| sample.starts_with(&of("count")));
        for (sample, count) in counts {
            let inside = sample.strip_prefix(&of("count")).unwrap().trim_matches(['{', '}']);
            let own = |bound: &str| match inside {
                "" => bound.is_empty(),
                inside => bound == format!("{inside},") || bound == format!(",{inside}"),
            };
            let mut buckets: Vec<(f64, f64)> = self
                .samples
                .iter()
                .filter_map(|(sample, value)| {
                    let labels = sample.strip_prefix(&of("bucket"))?.trim_matches(['{', '}']);
                    let (before, rest) = labels.split_once("le=\"")?;
                    let (bound, after) = rest.split_once('"')?;
                    own(&format!("{before}{after}")).then(|| (bound.parse().unwrap(), *value))
                })
                .collect();
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{sample}: {buckets:?}");
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{sample}");
        }
    }
}

/// The names of labels, whose values are quoted and escaped.
fn labels(mut text: &str) -> Vec<String> {
    let mut names = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        assert!(is_name(name) && !names.contains(&name.to_owned()), "{text}");
        names.push(name.to_owned());
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next().unwrap_or_else(|| panic!("{text}")) {
                (_, '\\') => assert!(matches!(characters.next(), Some((_, '\\' | '"' | 'n'))), "{text}"),
                (end, '"') => break end,
                (_, character) => assert_ne!(character, '\n'),
            }
        };
        text = &rest[end + 1..];
        text = text.strip_prefix(',').unwrap_or_else(|| {
            assert!(text.is_empty(), "{text}");
            text
        });
    }
    names
}
